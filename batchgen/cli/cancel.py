"""`batchgen cancel`."""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.cancel import cancel
from batchgen.cli.target import target_of, turn_of


def handle(args: argparse.Namespace) -> int:
    """Cancel what is still queued remotely; its exit code."""
    code, lines = asyncio.run(cancel(target_of(args), turn_of(args)))
    print("\n".join(lines))
    return code
