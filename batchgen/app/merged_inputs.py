"""merged.json: which ledgers `ledger merge` has put into this directory, and as they were then.

A run that is about to pay asks here whether what shards have paid for is known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.system.files import replace_file
from batchgen.system.run_directory import RunDirectory


class MergedInput(msgspec.Struct, frozen=True, kw_only=True):
    """One run directory whose ledger was merged."""

    path: str
    """Relative to the directory that it was merged into, if that is possible."""
    ledger_bytes: int


class MergedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of merged.json."""

    ledger_bytes: int
    """The size of the merged ledger, before any run went on with it."""
    inputs: tuple[MergedInput, ...] = ()


def note_merged(merged: RunDirectory, inputs: Mapping[RunDirectory, int]) -> None:
    """Store what a merge has read and written, added to what earlier ones have read.

    `inputs` gives the bytes of each ledger that were read. Raises `LocalIOError`.
    """
    before = _read(merged)
    found = {one.path: one for one in (before.inputs if before is not None else ())}
    for one, ledger_bytes in inputs.items():
        path = os.path.relpath(os.path.realpath(one.path), os.path.realpath(merged.path))
        found[path] = MergedInput(path=path, ledger_bytes=ledger_bytes)
    file = MergedFile(ledger_bytes=_size_bytes(merged.ledger), inputs=tuple(found.values()))
    text = msgspec.json.format(msgspec.json.encode(file), indent=1).decode() + "\n"
    replace_file(merged.merged_inputs, lambda stream: stream.write(text))


def has_merged(merged: RunDirectory, one: RunDirectory) -> bool:
    """Tell whether everything that a ledger says now was merged into another directory."""
    file, place = _read(merged), os.path.realpath(one.path)
    return file is not None and any(
        os.path.realpath(Path(os.path.realpath(merged.path)) / known.path) == place
        and known.ledger_bytes == _size_bytes(one.ledger)
        for known in file.inputs
    )


def is_only_merged(directory: RunDirectory) -> bool:
    """Tell whether a ledger is as a merge has left it: no run has gone on with it since."""
    file = _read(directory)
    return file is not None and file.ledger_bytes == _size_bytes(directory.ledger)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _read(directory: RunDirectory) -> MergedFile | None:
    """Return the file; what cannot be read says nothing, so nothing counts as merged."""
    try:
        found: MergedFile = decode_json(directory.merged_inputs.read_bytes(), type=MergedFile)
    except (OSError, BadJSON):
        return None
    return found
