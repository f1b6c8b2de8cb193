"""reviews.jsonl: the verdicts of the user, appended beside the ledger, with its care.

It is a file of its own, because verdicts are given while a run holds the lock of the ledger. Many
processes may append to it at once: each locks the file itself for the moment of its write.

A torn last line is skipped, and the next record begins on a line of its own. Nothing here is about
money: a line that cannot be read is left where it is, and is skipped too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.lifecycle import JobRecord
from batchgen.core.reviews import Verdict, verdicts_by_take
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import open_regular, sync_directory, sync_file
from batchgen.system.run_directory import RunDirectory

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Verdict)
_BLOCK_BYTES = 1 << 20


def read_reviews(run_dir: Path) -> list[Verdict]:
    """Return every verdict, in the order in which they were given. Raises `LocalIOError`."""
    path = RunDirectory(run_dir).reviews
    return [verdict for line in _lines(path) if (verdict := _verdict(line)) is not None]


def verdicts_of(run_dir: Path) -> Callable[[JobRecord], Verdict | None]:
    """Return a function that gives the last verdict on the take of a record, as read now."""
    return verdicts_by_take(read_reviews(run_dir))


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines; what follows the last newline is being written, or is torn."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error


def _verdict(line: bytes) -> Verdict | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def append_reviews(run_dir: Path, verdicts: Sequence[Verdict]) -> None:
    """Append verdicts; they are durable when this returns. Raises `LocalIOError`.

    If it raises, none of them is in the file, unless that cannot be cut any more either.
    """
    if not verdicts:
        return
    path = RunDirectory(run_dir).reviews
    try:
        is_new = not path.exists()
        fd = os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _append(fd, b"".join(_encoder.encode(_line(one)) + b"\n" for one in verdicts))
        finally:
            os.close(fd)
        if is_new:
            sync_directory(path.parent)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}; no verdict was stored") from error
    reached(CrashPoint.REVIEW_DURABLE)


def _line(verdict: Verdict) -> dict[str, Any]:
    line = msgspec.structs.asdict(verdict)
    if verdict.submitted_at is None:
        del line["submitted_at"]
    return line


def _append(fd: int, data: bytes) -> None:
    """Write whole lines at the end of the file, behind a torn line on a line of their own."""
    size_bytes = os.fstat(fd).st_size
    if size_bytes and os.pread(fd, 1, size_bytes - 1) != b"\n":
        data = b"\n" + data
    try:
        for begin in range(0, len(data), _BLOCK_BYTES):
            _write_all(fd, data[begin : begin + _BLOCK_BYTES])
            reached(CrashPoint.REVIEW_WRITTEN)
        sync_file(fd)
    except OSError:
        os.ftruncate(fd, size_bytes)
        raise


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
