"""`batchgen check`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from batchgen.app.batch import Loaded, load
from batchgen.app.opening import latest, open_batch
from batchgen.cli.target import target_of
from batchgen.core.quantities import count_text


def handle(args: argparse.Namespace) -> int:
    """Check every row. Raises `ManifestError` with everything that is wrong."""
    target = target_of(args)
    opened = open_batch(target, pick=latest)
    with load(opened.manifest, opened.target) as loaded:
        if args.json:
            print(msgspec.json.encode(_findings(loaded)).decode())
        for note in loaded.manifest.notes:
            print(f"batchgen: {note}", file=sys.stderr)
        loaded.require_valid(skip_invalid=False)
        if not args.json:
            print(f"{args.manifest}: {count_text(loaded.spool.valid, 'job')}, nothing wrong")
    return 0


def _findings(loaded: Loaded) -> dict[str, object]:
    return {
        "jobs": loaded.spool.valid,
        "invalid": loaded.spool.invalid,
        "problems": [{"where": problem.where, "what": problem.what} for problem in loaded.problems],
        "problem_count": loaded.problem_count,
        "notes": list(loaded.manifest.notes),
    }
