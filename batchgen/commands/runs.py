"""`batchgen runs`: the run directories of a manifest and how each run ended."""

from __future__ import annotations

import argparse

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import ledger_summary
from batchgen.app.command_context import CommandContext
from batchgen.app.open_batch import locate
from batchgen.app.run_file import is_finished
from batchgen.reports.status_text import state_phrases, summary_json


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print one line for each directory, the oldest first. Reads ledgers only."""
    directories = locate(BatchRef.of(args))
    found = [(one, ledger_summary(one)) for one in directories.begun()]
    if args.json:
        context.console.print_json(
            [{"run_dir": str(one), **summary_json(summary, None, ())} for one, summary in found]
        )
        return 0
    for directory, summary in found:
        left = "" if is_finished(directory) else "  (work left)"
        context.console.print_lines(f"{directory}  {', '.join(state_phrases(summary))}{left}")
    if not found:
        context.console.print_lines(f"no run yet; it would be in {directories.newest()}")
    return 0
