"""`batchgen status`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from batchgen.app.history import read_history
from batchgen.app.views import status_lines, summary_json
from batchgen.cli.target import target_of
from batchgen.core.quantities import duration_text
from batchgen.core.summary import summarise


def handle(args: argparse.Namespace) -> int:
    """Say where a batch stands; beside a writer too."""
    target = target_of(args)
    with read_history(target) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        run_dir = history.run_dir
        summary = summarise(row.record for row in history.rows() if not row.problems)
        left_s = history.eta_s(summary)
    if args.json:
        found = {**summary_json(summary, None, ()), "eta_s": left_s}
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(status_lines(summary, run_dir)))
        if left_s is not None:
            print(f"about {duration_text(left_s)} left at the pace of the last jobs")
    return 0
