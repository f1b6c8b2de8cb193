"""`batchgen report`: write results.csv, results.xlsx and report.html again."""

from __future__ import annotations

import argparse

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Write all of them without network or token, and print where the page is."""
    with read_snapshot(BatchRef.of(args), context) as snapshot:
        if snapshot.note:
            context.console.say(snapshot.note)
        if left_out := snapshot.write_result_files(xlsx=args.xlsx):
            context.console.insist(f"results.xlsx: {left_out:,} rows did not fit into a sheet")
    context.console.confirm(str(snapshot.directory.page))
    return 0
