"""`batchgen init`: write a commented manifest to start from."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import describe
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.core.model_entry import ModelEntry
from batchgen.core.schema.inputs import Schema
from batchgen.reports.manifest_starter import starter
from batchgen.reports.parameter_text import parameters_of
from batchgen.reports.terminal import tame


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Write the manifest, and print its path.

    Raises `UsageError` for a model that is not known, and for a file that exists already
    unless `--force` is given; `LocalIOError` if it cannot be written.
    """
    path = Path(args.output)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(
            f"{path}: a manifest to start from is YAML; choose a name that ends in .yaml"
        )
    found = describe(context, args.model)
    for note in (*found.notes, *_left_to_do(found.entry)):
        context.console.say(note)
    _write(path, starter(found.entry, shlex.quote(tame(str(path)))), force=args.force)
    context.console.confirm(str(path))
    return 0


def _left_to_do(entry: ModelEntry) -> list[str]:
    """Return what the user has to fill in, because no example can get it right."""
    if not entry.input_schema:
        return [f"the parameters of {entry.model_id} are not known; add them by its page"]
    given = {one.key: one.sample() for one in parameters_of(entry) if one.is_required}
    faults = Schema(entry.input_schema).check(given)
    return [f"{fault.parameter} needs a value of yours: {fault}" for fault in faults]


def _write(path: Path, text: str, *, force: bool) -> None:
    """Create the file with mode `x`, so that no other process can come in between."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} exists already; --force overwrites it, --output names another"
        raise UsageError(message) from None
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
