"""Small append-only files of JSON lines beside the ledger, written without its lock.

Many processes may append to one of them at once: each locks the file itself for the moment of its
write. A torn last line is skipped by readers, and the next one begins on a line of its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.system.files import open_regular, sync_directory, sync_file

_BLOCK_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def _no_hook() -> None:
    pass


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines; what follows the last newline is being written, or is torn.

    Raises `LocalIOError`.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error


def append_lines(
    path: Path, lines: Sequence[bytes], *, on_written: Callable[[], None] = _no_hook
) -> None:
    """Append lines, which have no newline yet; they are durable when this returns.

    `on_written` is called before each sync. Raises OSError: then none of them is in the file,
    unless that cannot be cut any more either.
    """
    is_new = not path.exists()
    fd = os.open(path, _FLAGS, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _append(fd, b"".join(line + b"\n" for line in lines), on_written)
    finally:
        os.close(fd)
    if is_new:
        sync_directory(path.parent)


def _append(fd: int, data: bytes, on_written: Callable[[], None]) -> None:
    """Write whole lines at the end of the file, behind a torn line on a line of their own."""
    size_bytes = os.fstat(fd).st_size
    if size_bytes and os.pread(fd, 1, size_bytes - 1) != b"\n":
        data = b"\n" + data
    try:
        for begin in range(0, len(data), _BLOCK_BYTES):
            _write_all(fd, data[begin : begin + _BLOCK_BYTES])
            on_written()
        sync_file(fd)
    except OSError:
        os.ftruncate(fd, size_bytes)
        raise


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
