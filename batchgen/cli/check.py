"""`batchgen check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import msgspec

from batchgen.app.batch import Loaded, load
from batchgen.app.online import ask_online
from batchgen.app.opening import latest, open_batch
from batchgen.cli.target import target_of
from batchgen.cli.terminal import tame
from batchgen.core.quantities import count_text


def handle(args: argparse.Namespace) -> int:
    """Check every row. Raises `ManifestError` with everything that is wrong."""
    target = target_of(args)
    opened = open_batch(target, pick=latest)
    with load(opened.manifest, opened.target, keep=args.online) as loaded:
        asked = ask_online(loaded, args.base_url) if args.online else 0
        if args.json:
            print(msgspec.json.encode(_findings(loaded)).decode())
        for note in loaded.manifest.notes:
            print(f"batchgen: {tame(note)}", file=sys.stderr)
        loaded.require_valid(skip_invalid=False)
        if not args.json:
            print(f"{args.manifest}: {count_text(loaded.spool.valid, 'job')}, nothing wrong")
            print("\n".join(_grounds(loaded, asked)))
    return 0


def _grounds(loaded: Loaded, asked: int) -> Iterator[str]:
    """What the rows were checked against."""
    for model, origin in loaded.manifest.origins.items():
        yield f"  schema of {model}: {tame(origin)}"
    if asked:
        yield f"  {count_text(asked, 'distinct URL')} asked, each could be fetched"


def _findings(loaded: Loaded) -> dict[str, object]:
    return {
        "jobs": loaded.spool.valid,
        "invalid": loaded.spool.invalid,
        "problems": [{"where": problem.where, "what": problem.what} for problem in loaded.problems],
        "problem_count": loaded.problem_count,
        "notes": list(loaded.manifest.notes),
        "schemas": dict(loaded.manifest.origins),
    }
