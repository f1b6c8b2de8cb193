"""`batchgen runs`: the run directories of a manifest and what became of each."""

from __future__ import annotations

import argparse

import msgspec

from batchgen.app.batch_ref import batch_ref_of
from batchgen.app.batch_snapshot import ledger_summary
from batchgen.app.open_batch import latest, open_batch
from batchgen.app.run_directory import DatedRunDirectories
from batchgen.app.run_file import unfinished
from batchgen.ledger import has_ledger
from batchgen.reports.status_text import state_phrases, summary_json


def handle(args: argparse.Namespace) -> int:
    """One line for each directory, oldest first. Reads ledgers only."""
    opened = open_batch(batch_ref_of(args), pick=latest)
    place = opened.place
    directories = (
        [path for _, path in place.existing()]
        if isinstance(place, DatedRunDirectories)
        else [place]
    )
    found = [(path, ledger_summary(path)) for path in directories if has_ledger(path)]
    if args.json:
        shown = [
            {"run_dir": str(path), **summary_json(summary, None, ())} for path, summary in found
        ]
        print(msgspec.json.encode(shown).decode())
        return 0
    for path, summary in found:
        left = "  (work left)" if unfinished(path) else ""
        print(f"{path}  {', '.join(state_phrases(summary))}{left}")
    if not found:
        print(f"no run yet; it would be in {opened.run_dir}")
    return 0
