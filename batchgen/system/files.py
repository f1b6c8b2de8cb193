"""Durable, atomic file writes: fsync, and write-then-rename.

A file that is written in place is, for a moment, half a file; a file that is renamed into place is
the old one or the new one, whatever happens in between.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from batchgen.core.errors import LocalIOError
from batchgen.system.crash_points import CrashPoint, reached

NOT_THERE = (FileNotFoundError, NotADirectoryError)
"""Errors of opening a file that does not exist, also because a file stands in place of its
directory; who writes there will say so."""

_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""What file systems without hard links answer."""

_NO_SUCH_CALL = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What network and encrypted file systems answer that cannot sync a directory."""

_LEFTOVER = re.compile(r"\..+\.(\d+)-\d+\.new", re.DOTALL)
"""The temporary name of a file, with the number of the process that writes it."""


def sync_file(fd: int) -> None:
    """Make the bytes of a file durable, with the metadata that is needed to read them."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # there, fsync stops at the drive's own cache
    else:
        os.fdatasync(fd)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, if its file system has such a call."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    finally:
        os.close(fd)


def open_regular(path: Path) -> int:
    """Open a file to read it. Raises OSError, also for a pipe or a device: these may not end."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def make_below(path: Path, root: Path) -> None:
    """Create a directory with its parents, but only as long as `root` exists. Raises OSError.

    A run directory that was moved away would otherwise begin to exist again, without its ledger.
    """
    if not root.is_dir():
        what = "it was moved or removed while a run uses it; before the next run, move it back or"
        raise FileNotFoundError(errno.ENOENT, f"{what} name its new place with --run-dir", root)
    path.mkdir(parents=True, exist_ok=True)


def is_directly_in(root: Path, path: Path) -> bool:
    """Tell whether a path is below a directory, and no link is on the way."""
    if not path.is_relative_to(root) or path == root:
        return False
    return Path(os.path.realpath(path)) == Path(os.path.realpath(root)) / path.relative_to(root)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a new file, which replaces `path` when the block ends. Raises OSError.

    With `durable`, it is on disk then. Its temporary name is used by no other process or thread.
    If the block raises, the new file is removed. A pipe or a device, such as /dev/stdout, is not
    replaced: it would be gone for everybody.
    """
    _require_replaceable(path)
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


def _require_replaceable(path: Path) -> None:
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a rename refuses a directory itself
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def remove_dead_leftovers(directory: Path) -> None:
    """Remove what killed writers of this machine left in a directory, if that exists."""
    try:
        names = [entry.name for entry in os.scandir(directory) if entry.name[0] == "."]
    except OSError:
        return
    for name in names:
        leftover = _LEFTOVER.fullmatch(name)
        if leftover and not _is_another_process(int(leftover[1])):
            with suppress(OSError):
                (directory / name).unlink()


def _is_another_process(pid: int) -> bool:
    """Tell whether a process other than this one has this number now."""
    if pid == os.getpid():
        return False  # in a container, every run may have the same number
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it belongs to another user
    return True


def rename_if_absent(source: Path, target: Path) -> bool:
    """Rename a file within its directory; return False if `target` exists. Raises OSError.

    Another process cannot come between: a hard link never replaces anything. On a file system
    without them the directory is locked meanwhile, which other runs on this machine respect.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_under_lock(source, target)
    reached(CrashPoint.FILE_LINKED)
    source.unlink()
    return True


def _rename_under_lock(source: Path, target: Path) -> bool:
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a network file system may have no locks either
            fcntl.flock(directory, fcntl.LOCK_EX)
        if os.path.lexists(target):
            return False
        source.rename(target)
    finally:
        os.close(directory)
    return True


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left; only if no other process can be writing it."""
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


def set_aside_name(path: Path, why: str, now: str, *, keep_suffix: bool = False) -> Path:
    """Return the name under which a file is kept that makes room: `NAME.why-<time>`.

    With `keep_suffix` the name still ends as it did, so that a picture stays a picture.
    """
    moment = now.replace(":", "")
    if keep_suffix:
        return path.with_name(f"{path.stem}.{why}-{moment}{path.suffix}")
    return path.with_name(f"{path.name}.{why}-{moment}")
