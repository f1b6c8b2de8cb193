"""Access to the manifest and the files that it names: readable, and inside its directory.

A pipe can be read only once, so it is copied to a temporary file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from batchgen.core.errors import LocalIOError, ManifestError, ManifestNotFound, Problem

_ENDINGS = (".yaml", ".yml", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xlsx", ".txt")
_NAMED = 5
"""Files of a directory that a message names."""


def confined(name: str, base_dir: Path, *, allow_outside: bool, where: str) -> Path:
    """Return the path of a file that a manifest names.

    Raises `ManifestError` if it is outside `base_dir`, links resolved, and `ManifestNotFound` if
    it does not exist.
    """
    if "\0" in name:
        raise ManifestError([Problem(where, "a name with a NUL character in it")])
    path = base_dir / name
    try:
        real, base = path.resolve(), base_dir.resolve()
    except (OSError, RuntimeError) as error:
        raise ManifestNotFound(f"{where}: cannot read {name!r}: {error}") from None
    if not allow_outside and not real.is_relative_to(base):
        what = f"{name!r} is outside of the manifest's directory"
        what += "; move it there or say --allow-outside"
        raise ManifestError([Problem(where, what)])
    if is_pipe(path, f"{where}: {name}"):
        raise ManifestNotFound(f"{where}: {name}: is not a regular file")
    return path


def is_pipe(path: Path, shown: str) -> bool:
    """Return whether a file is a pipe, which can be read only once.

    Raises `ManifestNotFound` if it does not exist, is not a file, or may not be read.
    """
    try:
        if path.is_fifo():
            return True
        refuse_directory(path, shown)
        if not path.exists():
            raise ManifestNotFound(f"{shown}: no such file")
        if not path.is_file():
            raise ManifestNotFound(f"{shown}: is not a regular file")
        with path.open("rb"):
            return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestNotFound(f"{shown}: cannot be read: {reason}") from None


def refuse_directory(path: Path, shown: str) -> None:
    """Raise `ManifestNotFound` for a directory, with the manifests that are in it."""
    if not path.is_dir():
        return
    try:
        names = sorted(one.name for one in path.iterdir() if one.suffix.lower() in _ENDINGS)
    except OSError:
        names = []
    several = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    inside = f": {', '.join(names[:_NAMED])}{several}" if names else ", such as batch.yaml"
    raise ManifestNotFound(f"{shown or path}: is a directory; name a manifest in it{inside}")


def spooled(stream: BinaryIO) -> Path:
    """Copy a stream to a temporary file, which the caller removes, and return its path.

    Raises `ManifestNotFound` if the stream cannot be read, `LocalIOError` if the disk is full.
    """
    try:
        number, name = tempfile.mkstemp(prefix="batchgen-")
    except OSError as error:
        raise LocalIOError(f"temporary file: {error.strerror or error}") from error
    path = Path(name)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            for block in _blocks(stream):
                _write(file, block)
    except BaseException:
        path.unlink()
        raise
    return path


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while block := stream.read(1 << 20):
            yield block
    except OSError as error:
        what = f"the manifest cannot be read: {error.strerror or error}"
        raise ManifestNotFound(what) from error


def _write(file: FileIO, block: bytes) -> None:
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise LocalIOError(f"temporary file: {error.strerror or error}") from error
