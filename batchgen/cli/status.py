"""`batchgen status`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from batchgen.app.history import read_history
from batchgen.app.views import status_lines, summary_json
from batchgen.cli.target import target_of
from batchgen.core.summary import summarise


def handle(args: argparse.Namespace) -> int:
    """Say where a batch stands; beside a writer too."""
    target = target_of(args)
    with read_history(target) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        run_dir = history.run_dir
        summary = summarise(row.record for row in history.rows() if not row.problems)
    if args.json:
        print(msgspec.json.encode(summary_json(summary, None, ())).decode())
    else:
        print("\n".join(status_lines(summary, run_dir)))
    return 0
