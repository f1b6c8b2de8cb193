"""`batchgen status`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from batchgen.app.history import read_history
from batchgen.app.turn import work_sentence
from batchgen.app.views import holder_json, status_lines, summary_json
from batchgen.cli.target import target_of
from batchgen.cli.terminal import visible
from batchgen.core.quantities import duration_text
from batchgen.core.summary import summarise


def handle(args: argparse.Namespace) -> int:
    """Say where a batch stands; beside a writer too."""
    if args.watch_s is not None:
        from batchgen.cli.watch import handle as watch

        return watch(args)
    with read_history(target_of(args)) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        run_dir, holder, now_s = history.run_dir, history.holder, history.now_s
        summary = summarise(row.record for row in history.rows() if not row.problems)
        left_s = history.eta_s(summary)
    if args.json:
        seen = {"eta_s": left_s, "at_work": holder_json(holder)}
        print(msgspec.json.encode({**summary_json(summary, None, ()), **seen}).decode())
        return 0
    for line in status_lines(summary, run_dir):
        print(visible(line))
    if left_s is not None:
        print(f"about {duration_text(left_s)} left at the pace of the last jobs")
    if holder is not None:
        print(work_sentence(holder, now_s))
    return 0
