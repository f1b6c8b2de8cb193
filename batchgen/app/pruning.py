"""Pruning: the outputs of old dated run directories are removed, and nothing else.

Only what the ledger of a directory names can go: its files as they were downloaded, their sidecars
and its thumbnails. Ledger, results, page and verdicts stay, so a later run of that day knows that
everything was done, and submits nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.app.run_directories import RunDirectories
from batchgen.app.run_file import is_finished
from batchgen.core.errors import LocalIOError, LockHeld
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.lock import RunLock, at_work
from batchgen.ledger.replay import follow
from batchgen.outputs.sidecar import MARKER
from batchgen.system.files import is_directly_in, replace_file
from batchgen.system.run_directory import RunDirectory

_THUMBNAIL = re.compile(r"[0-9a-f]{16,64}(?:-\d+)?\.(?:webp|jpg)|contact-sheet\.jpg")


@dataclass(slots=True, kw_only=True)
class Prunable:
    """The files that could be removed from one directory."""

    directory: RunDirectory
    skipped: str = ""
    """Why nothing goes; empty if something may."""
    paths: list[Path] = field(default_factory=list)
    files: int = 0
    """Outputs; `paths` has their sidecars and the thumbnails too."""
    file_bytes: int = 0
    """Of all paths."""

    def as_json(self, *, removed: bool) -> dict[str, object]:
        """Return the object that `--json` prints."""
        return {
            "run_dir": str(self.directory),
            "files": self.files,
            "bytes": self.file_bytes,
            "removed": removed and not self.skipped,
            "skipped": self.skipped or None,
        }


def prunable(
    directories: RunDirectories, *, keep_last: int, output_dir: str | None
) -> Iterator[Prunable]:
    """Yield what could go from each directory but the last ones, by the date in their names.

    Raises what reading a ledger raises.
    """
    dated = [one for _, one in directories.dated() if one.has_ledger]
    kept = dated[-keep_last:]
    needed = {path for one in kept for path, _ in _outputs(one, output_dir)}
    for directory in dated[: len(dated) - len(kept)]:
        if at_work(directory.path) is not None:
            yield Prunable(directory=directory, skipped="a run is active")
        elif not is_finished(directory):
            yield Prunable(directory=directory, skipped="it has work left")
        else:
            yield _found(directory, output_dir, needed)


def _found(directory: RunDirectory, output_dir: str | None, needed: set[Path]) -> Prunable:
    found = Prunable(directory=directory)
    for path, recorded in _outputs(directory, output_dir):
        size_bytes = _size_bytes(path)
        if path in needed or size_bytes != recorded.bytes:
            continue  # another day has it too, or it is not what was downloaded
        found.paths.append(path)
        found.files += 1
        sidecar = path.with_name(f"{path.name}.json")
        if _is_sidecar(sidecar):
            found.paths.append(sidecar)
    found.paths += _thumbnails(directory)
    found.file_bytes = sum(_size_bytes(path) or 0 for path in found.paths)
    return found


def _outputs(directory: RunDirectory, output_dir: str | None) -> Iterator[tuple[Path, OutputFile]]:
    """Yield every file that the ledger names, of any take, if it is where outputs can be."""
    named: dict[str, OutputFile] = {}

    def note(record: JobRecord, _: int) -> None:
        for file in (*record.files, *(file for take in record.takes for file in take.files)):
            named[file.path] = file

    follow(directory.ledger, note).read_on()
    roots = [directory.path]
    if output_dir and "://" not in output_dir:
        roots.append(Path(os.path.normpath(directory.path / output_dir)))
    for name, file in named.items():
        if "://" in name or "\0" in name:
            continue  # what is in a bucket stays there
        path = Path(os.path.normpath(directory.path / name))
        if not directory.keeps(path) and any(is_directly_in(root, path) for root in roots):
            yield path, file


def _thumbnails(directory: RunDirectory) -> list[Path]:
    try:
        entries = sorted(os.scandir(directory.thumbnails), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        Path(entry.path)
        for entry in entries
        if _THUMBNAIL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
    ]


def _size_bytes(path: Path) -> int | None:
    """Return the size of a file; None if it is none, a link among others."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _is_sidecar(path: Path) -> bool:
    if _size_bytes(path) is None:
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(MARKER)) == MARKER
    return False


def remove(found: Sequence[Prunable], *, now: str, now_s: float) -> None:
    """Remove what was found, each directory under its lock, and note there that it was meant.

    A directory in which a run has begun meanwhile is skipped. A crash in the middle is made good by
    the same command. Raises `LocalIOError`.
    """
    for one in found:
        if one.skipped:
            continue
        try:
            lock = RunLock.acquire(one.directory.path, now_s=now_s)
        except LockHeld:
            one.skipped = "a run is active"
            continue
        with lock:
            _remove(one, now)


def _remove(one: Prunable, now: str) -> None:
    note = f'{{"at":"{now}","files":{one.files}}}\n'
    replace_file(one.directory.pruned, lambda file: file.write(note))
    for path in one.paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}") from error
