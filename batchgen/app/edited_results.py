"""Results files that somebody has edited: they are kept before they are written again.

A colleague types verdicts into results.xlsx, and the next night writes that file again. What was
typed and not read by `batchgen review` would be lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.system.files import replace_file, set_aside_name
from batchgen.system.run_directory import RunDirectory

_BLOCK_BYTES = 1 << 20


class _Written(msgspec.Struct, frozen=True):
    """A file as this program wrote it."""

    bytes: int
    mtime_ns: int
    sha256: str


def keep_edited(directory: RunDirectory, *, now: str) -> Iterator[str]:
    """Rename the results files that were edited since they were written; yield a note for each.

    Raises `LocalIOError`.
    """
    written = _read(directory)
    for path in (directory.results, directory.workbook):
        if _is_edited(path, written.get(path.name)):
            kept = set_aside_name(path, "edited", now, keep_suffix=True)
            try:
                path.rename(kept)
            except OSError as error:
                raise LocalIOError(f"{path}: {error.strerror}") from error
            yield (
                f"{path.name} was edited since it was written; it is kept as {kept.name}. To read"
                f" the verdicts in it: batchgen review MANIFEST {kept}"
            )


def note_written(directory: RunDirectory) -> None:
    """Note what the results files look like now. Raises `LocalIOError`."""
    found = {
        path.name: seen
        for path in (directory.results, directory.workbook)
        if (seen := _seen(path)) is not None
    }
    text = msgspec.json.encode(found).decode() + "\n"
    try:
        directory.thumbnails.mkdir(exist_ok=True)
    except OSError as error:
        raise LocalIOError(f"{directory.thumbnails}: {error.strerror}") from error
    replace_file(directory.written_results, lambda file: file.write(text))


def note_read(directory: RunDirectory, file: str) -> None:
    """Note that the verdicts in a file are stored, so that it need not be kept."""
    path = Path(file).absolute()
    if path in (directory.results.absolute(), directory.workbook.absolute()):
        note_written(directory)


def _is_edited(path: Path, written: _Written | None) -> bool:
    if written is None:
        return False
    try:
        status = path.stat()
    except OSError:
        return False
    if (status.st_size, status.st_mtime_ns) == (written.bytes, written.mtime_ns):
        return False
    seen = _seen(path)
    return seen is not None and seen.sha256 != written.sha256


def _seen(path: Path) -> _Written | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            status = path.stat()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return None
    return _Written(status.st_size, status.st_mtime_ns, digest.hexdigest())


def _read(directory: RunDirectory) -> Mapping[str, _Written]:
    """Return what was noted; nothing if that cannot be read, as nothing can be told then."""
    try:
        found: dict[str, _Written] = decode_json(
            directory.written_results.read_bytes(), type=dict[str, _Written]
        )
    except (OSError, BadJSON):
        return {}
    return found
