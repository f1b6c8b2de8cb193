"""One run at a time in a run directory.

A kernel lock (`flock`) on a file of its own, so that it dies with its process however that ends,
and so that the ledger can be replaced by a compacted one while it is held. What stands in the
file is for the message only.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import msgspec

from batchgen.core.errors import LocalIOError, LockHeld

LOCK_NAME = "ledger.lock"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock."""

    pid: int
    host: str = "?"
    since: str = "?"


class RunLock:
    """Held from `acquire` to `release`, or to the death of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, run_dir: Path, *, now: str) -> RunLock:
        """Raises `LockHeld`, naming the holder, or `LocalIOError`."""
        path = run_dir / LOCK_NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; is the directory writable?") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(fd)
            os.close(fd)
            raise LockHeld(_held_message(run_dir, holder)) from None
        _sign(fd, now=now)
        return cls(fd)

    def release(self) -> None:
        """Let go; the file stays, because removing it could remove another's lock."""
        os.close(self._fd)


def _sign(fd: int, *, now: str) -> None:
    holder = Holder(pid=os.getpid(), host=socket.gethostname(), since=now)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)
    except OSError:
        return  # a full disk: the lock itself holds, only its label is missing


def _holder(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def _held_message(run_dir: Path, holder: Holder | None) -> str:
    who = (
        f"process {holder.pid} on {holder.host}, since {holder.since}"
        if holder
        else "another process"
    )
    return f"{run_dir}: in use by {who}; wait for it to end, or stop it first"
