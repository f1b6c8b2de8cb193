"""`batchgen init`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from batchgen.app.model_sources import api_of, describe
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.core.model_entry import ModelEntry
from batchgen.core.schema import Schema
from batchgen.reports.manifest_starter import starter
from batchgen.reports.parameter_text import parameters_of
from batchgen.reports.terminal import tame


def handle(args: argparse.Namespace) -> int:
    """Write a commented manifest to begin with, and say where.

    Raises `UsageError` for a model that is not known, and for a file that is there already
    unless `--force` is given; `LocalIOError` where it cannot be written.
    """
    path = Path(args.output)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{path}: a starter is YAML; end its name in .yaml")
    found = describe(api_of(args.base_url), args.model)
    for note in (*found.notes, *_left_to_do(found.entry)):
        print(f"batchgen: {tame(note)}", file=sys.stderr)
    _write(path, starter(found.entry, shlex.quote(tame(str(path)))), force=args.force)
    print(path)
    return 0


def _left_to_do(entry: ModelEntry) -> list[str]:
    """What a made-up first row cannot get right."""
    if not entry.input_schema:
        return [f"the parameters of {entry.model_id} are not known; add them by its page"]
    given = {one.key: one.sample() for one in parameters_of(entry) if one.is_required}
    faults = Schema(entry.input_schema).check(given)
    return [f"{fault.parameter} needs a value of yours: {fault}" for fault in faults]


def _write(path: Path, text: str, *, force: bool) -> None:
    """`x` and not a look beforehand: nothing may come in between."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} is there already; --force overwrites it, --output names another"
        raise UsageError(message) from None
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
