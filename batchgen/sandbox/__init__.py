"""The Model API stand-in on a loopback port, for rehearsals that cost nothing and for tests.

async with Sandbox(SandboxConfig(capacity=4)) as sandbox:
    ...  # talk to sandbox.base_url with sandbox.token, then look into sandbox.audit
"""

from __future__ import annotations

from batchgen.sandbox.config import DEFAULT_TOKEN, SandboxConfig
from batchgen.sandbox.server import Sandbox

__all__ = ["DEFAULT_TOKEN", "Sandbox", "SandboxConfig"]
