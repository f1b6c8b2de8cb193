"""What it takes for a file to be on disk, and for a file to change whole or not at all.

A file that is written in place is, for a moment, half a file; one that is renamed into place is
the old one or the new one, whatever happens in between.
"""

from __future__ import annotations

import fcntl
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from batchgen.core.errors import LocalIOError


def sync_file(fd: int) -> None:
    """Make the bytes of a file durable, and the metadata that is needed to read them."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync stops at the drive's own cache there
    else:
        os.fdatasync(fd)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when the block ends well. Raises OSError.

    `durable`: and is on disk then. Its temporary name is its own, so that two writers do not
    meet; where the block raises, nothing is left of it.
    """
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if durable:
                sync_file(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left; only while no other may be writing it."""
    for leftover in path.parent.glob(f".{path.name[:60]}.*-*.new"):
        leftover.unlink(missing_ok=True)


def replace_file(path: Path, write: Callable[[IO[str]], object]) -> None:
    """Write a text file whole or not at all. Raises `LocalIOError`."""
    try:
        with replacing(path) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="")
            write(text)
            text.flush()
            text.detach()
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
