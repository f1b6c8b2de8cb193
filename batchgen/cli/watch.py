"""`batchgen status --watch`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from batchgen.app.watching import Watch, watch
from batchgen.cli.sights import JsonLines, PlainLines, Screen, Shown
from batchgen.cli.target import target_of


def handle(args: argparse.Namespace) -> int:
    """Show where a batch stands until nobody is at work any more; its exit code."""
    try:
        with Watch(target_of(args)) as watched, _shown(as_json=args.json) as shown:
            return asyncio.run(watch(watched, shown.show, every_s=args.watch_s))
    except KeyboardInterrupt:
        return 0  # while the manifest was read, before there was anything to see


def _shown(*, as_json: bool) -> Shown:
    if as_json:
        return JsonLines()
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Screen() if is_terminal else PlainLines()
