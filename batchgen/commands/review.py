"""`batchgen review`: read verdicts from a file, and store all of them or none."""

from __future__ import annotations

import argparse

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.edited_results import note_read
from batchgen.app.verdict_file import read_verdicts
from batchgen.core.errors import LedgerMissing, UsageError
from batchgen.core.reviews import VerdictWord
from batchgen.core.units import count_text, timestamp
from batchgen.ledger.reviews_file import append_reviews


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Store the verdicts of a file. Raises `ManifestError` with everything that is wrong in it."""
    ref, console = BatchRef.of(args), context.console
    if ref.is_stdin and args.file == "-":
        raise UsageError("the manifest and the verdicts cannot both come from standard input")
    with read_snapshot(ref, context) as snapshot:
        if not snapshot.directory.has_ledger:
            raise LedgerMissing(snapshot.directory)
        if snapshot.note:
            console.say(snapshot.note)
        now = timestamp(context.clock.now_s())
        found = read_verdicts(args.file, snapshot, now=now)
        append_reviews(snapshot.directory.path, found.verdicts)
        note_read(snapshot.directory, args.file)
        for note in found.notes:
            console.say(note)
    counts = {word.value: found.count(word) for word in VerdictWord}
    if args.json:
        console.print_json({**counts, "earlier": found.earlier})
        return 0
    stored = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    line = f"stored: {stored}"
    if found.earlier:
        line += f"; {count_text(found.earlier, 'verdict')} on an earlier take left out"
    console.confirm(line)
    return 0
