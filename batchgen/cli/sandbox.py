"""`batchgen sandbox`."""

from __future__ import annotations

import argparse
import asyncio


def handle(args: argparse.Namespace) -> int:
    """Serve until a signal, or around one command; its exit code."""
    from batchgen.sandbox.command import serve

    return asyncio.run(serve(args))
