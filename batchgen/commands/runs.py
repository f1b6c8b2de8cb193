"""`batchgen runs`: the run directories of a manifest and how each run ended."""

from __future__ import annotations

import argparse

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.open_batch import locate
from batchgen.app.run_file import is_finished
from batchgen.core.summary import Summary
from batchgen.ledger.history_file import read_history
from batchgen.reports.status_text import state_phrases, summary_json
from batchgen.system.run_directory import RunDirectory


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print one line for each directory, the oldest first."""
    ref = BatchRef.of(args)
    directories = locate(ref)
    found = _summaries(directories.begun(), ref, context)
    if args.json:
        context.console.print_json(
            [
                {
                    "run_dir": str(one),
                    **summary_json(summary, None, ()),
                    "runs": [past.as_json() for past in read_history(one)],
                }
                for one, summary in found
            ]
        )
        return 0
    for directory, summary in found:
        left = "" if is_finished(directory) else "  (work left)"
        context.console.print_lines(f"{directory}  {', '.join(state_phrases(summary))}{left}")
    if not found:
        context.console.print_lines(f"no run yet; it would be in {directories.newest()}")
    return 0


def _summaries(
    begun: list[RunDirectory], ref: BatchRef, context: CommandContext
) -> list[tuple[RunDirectory, Summary]]:
    """Return the totals of each directory; only the newest has the rows of the manifest as it is.

    The manifest may have gone: then they are those of the ledgers.
    """
    if not begun:
        return []
    with read_snapshot(ref, context) as snapshot:
        if snapshot.note:
            context.console.say(snapshot.note)
        return [
            (
                one,
                snapshot.summary() if one == snapshot.directory else snapshot.earlier_summary(one),
            )
            for one in begun
        ]
