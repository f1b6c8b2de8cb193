"""One run at a time in a run directory.

A kernel lock (`flock`) on a file of its own, so that it dies with its process however that ends,
and so that the ledger can be replaced by a compacted one while it is held. What stands in the
file is for people and onlookers only (`ledger.holder`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Self

from batchgen.core.errors import LocalIOError, LockHeld
from batchgen.core.moments import timestamp
from batchgen.ledger.holder import LOCK_NAME, Holder, Life, read_label, write_label

_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


class RunLock:
    """Held from `acquire` to `release`, or to the death of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, run_dir: Path, *, now_s: float) -> RunLock:
        """Raises `LockHeld`, naming the holder, or `LocalIOError`."""
        path = run_dir / LOCK_NAME
        fd = _open(path)
        try:
            _require_plain(fd, path)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = read_label(fd) if error.errno in _HELD else None
            os.close(fd)
            if error.errno in _HELD:
                raise LockHeld(held_message(run_dir, holder, now_s=now_s)) from None
            raise _unlockable(path, error) from error
        except LocalIOError:
            os.close(fd)
            raise
        write_label(fd, Holder.myself(now=timestamp(now_s)))
        return cls(fd)

    def release(self) -> None:
        """Let go, if it is still held.

        The file stays, because removing it could remove another's lock; its label goes first, so
        that nobody finds a name on a lock that is free.
        """
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            write_label(fd, None)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _open(path: Path) -> int:
    """Neither through a link to somewhere else nor waiting for the other end of a pipe."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise LocalIOError(f"{path} is a symbolic link; remove it, then run again") from None
        raise LocalIOError(f"{path}: {error.strerror}; is the directory writable?") from error


def _require_plain(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise LocalIOError(f"{path} is not a regular file; remove it, then run again")


def _unlockable(path: Path, error: OSError) -> LocalIOError:
    return LocalIOError(
        f"{path}: this file system cannot lock a file ({error.strerror}), so two runs could not be"
        " kept apart; use --run-dir to put the run directory on another disk"
    )


def held_message(run_dir: Path, holder: Holder | None, *, now_s: float) -> str:
    """Who is in the way, whether that is alive, and what to do."""
    if holder is None:
        return f"{run_dir}: in use by another process; wait for it: --if-locked wait=10m"
    return f"{run_dir}: in use by {holder.phrase(now_s)}; {_advice(run_dir, holder)}"


def _advice(run_dir: Path, holder: Holder) -> str:
    match holder.life():
        case Life.RUNS:
            return (
                "it is still at work. Wait for it (--if-locked wait=10m), or stop it:"
                f" kill {holder.pid}"
            )
        case Life.UNKNOWN:
            return (
                "whether it is still at work can be seen there only. Wait for it"
                " (--if-locked wait=10m), or stop it there"
            )
        case Life.ENDED:
            return (
                "that process has ended, so the lock is held by one that it started, or from"
                " another machine over a network file system. On this host,"
                f" fuser {run_dir / LOCK_NAME} names it"
            )
