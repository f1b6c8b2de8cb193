"""`batchgen report`: write results.csv, results.xlsx and report.html again."""

from __future__ import annotations

import argparse
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.edited_results import keep_edited, note_written
from batchgen.core.errors import UsageError
from batchgen.core.units import count_text, timestamp


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Write all of them without network or token, and print where the page is."""
    with read_snapshot(BatchRef.of(args), context) as snapshot:
        if snapshot.note:
            context.console.say(snapshot.note)
        for note in keep_edited(snapshot.directory, now=timestamp(context.clock.now_s())):
            context.console.insist(note)
        if left_out := snapshot.write_result_files(xlsx=args.xlsx):
            context.console.insist(f"results.xlsx: {left_out:,} rows did not fit into a sheet")
        note_written(snapshot.directory)
        if args.contact_sheet is not None:
            shown = snapshot.write_contact_sheet(_jpeg(args.contact_sheet))
            context.console.say(f"{args.contact_sheet}: {count_text(shown, 'picture')}")
        if args.standalone is not None:
            held = snapshot.write_standalone(args.standalone)
            context.console.say(
                f"{args.standalone}: the page with {count_text(held, 'file')} in it"
            )
    context.console.confirm(str(snapshot.directory.page))
    return 0


def _jpeg(path: Path) -> Path:
    """Return the path of a contact sheet. Raises `UsageError` if it is not that of a JPEG."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        raise UsageError(f"--contact-sheet: {path} is not the name of a JPEG; end it with .jpg")
    return path
