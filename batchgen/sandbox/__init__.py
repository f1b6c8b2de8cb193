"""The sandbox: a local Model API on a loopback port, for runs that cost nothing and for tests.

async with Sandbox(SandboxConfig(capacity=4)) as sandbox:
    ...  # talk to sandbox.base_url with sandbox.token, then read sandbox.audit
"""

from __future__ import annotations

from batchgen.sandbox.config import DEFAULT_TOKEN, SandboxConfig
from batchgen.sandbox.server import Sandbox

__all__ = ["DEFAULT_TOKEN", "Sandbox", "SandboxConfig"]
