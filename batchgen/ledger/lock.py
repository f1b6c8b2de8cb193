"""The lock of a run directory: one process at a time, and who that is.

The lock is a kernel lock (`flock`) on a file of its own, so that it ends with its process however
that ends, and so that compaction can replace the ledger while it is held. The file's content is
only a label, for messages and for readers: the process that gets the lock writes its name, and
removes it when it releases the lock. A process that was killed leaves its label, so readers trust
the label only while the process it names is alive. Reading the label takes no lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Self

import msgspec

from batchgen.core.errors import LocalIOError, LockHeld
from batchgen.core.units import duration_text, local_time, seconds, timestamp
from batchgen.system.run_directory import RunDirectory

_LABEL_BYTES = 4096
_MAX_PID = 2**31 - 1
_DEAD = "dead"
_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


class ProcessState(Enum):
    """The state of a process, as far as this machine can tell."""

    RUNS = "runs"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """It runs, or ran, on another machine."""


class LockHolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The process that holds the lock, as its label says."""

    pid: Annotated[int, msgspec.Meta(gt=0, le=_MAX_PID)]
    host: Annotated[str, msgspec.Meta(max_length=255)] = "?"
    since: Annotated[str, msgspec.Meta(max_length=40)] = "?"
    born: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Boot and start time, which tell it from a later process with the same pid; "" if unknown."""

    @classmethod
    def this_process(cls, *, now: str) -> LockHolder:
        """Return the label of this process."""
        pid = os.getpid()
        return cls(pid=pid, host=socket.gethostname(), since=now, born=_born(pid))

    @property
    def is_here(self) -> bool:
        """True for a process of this machine."""
        return self.host == socket.gethostname()

    def state(self) -> ProcessState:
        """Tell whether it still runs."""
        if not self.is_here:
            return ProcessState.UNKNOWN
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            pass  # it runs, under another user
        except OSError:
            return ProcessState.ENDED
        born = _born(self.pid)
        is_another = bool(self.born and born) and self.born != born
        return ProcessState.ENDED if is_another or born == _DEAD else ProcessState.RUNS

    def phrase(self, now_s: float) -> str:
        """Return `process 4242 on box (this host), since 02:00 (3 h 10 min ago)`."""
        where = f"{self.host} (this host)" if self.is_here else self.host
        return f"process {self.pid} on {where}{self._since(now_s)}"

    def as_json(self) -> dict[str, object]:
        """Return the keys that `status --json` shows."""
        return {"pid": self.pid, "host": self.host, "since": self.since}

    def _since(self, now_s: float) -> str:
        since_s = seconds(self.since)
        if since_s is None:
            return ""
        ago = duration_text(max(1.0, now_s - since_s))
        try:
            return f", since {local_time(since_s, now_s=now_s)} ({ago} ago)"
        except (ValueError, OverflowError, OSError):
            return ""  # a year outside of this machine's calendar


def at_work(run_dir: Path) -> LockHolder | None:
    """Return who works in a run directory, as its lock file says. Takes no lock.

    A process that is known to have ended does not count; one on another machine does.
    """
    holder = holder_in(run_dir)
    return None if holder is None or holder.state() is ProcessState.ENDED else holder


def work_sentence(holder: LockHolder, now_s: float) -> str:
    """Return a sentence that says who is at work."""
    elsewhere = "" if holder.is_here else "; whether it still is can only be seen there"
    return f"at work: {holder.phrase(now_s)}, as the lock file says{elsewhere}"


def holder_in(run_dir: Path) -> LockHolder | None:
    """Return the label in the lock file of a run directory; None if there is no valid one."""
    try:
        fd = os.open(
            RunDirectory(run_dir).lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return None
    try:
        return _read_label(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _read_label(fd: int) -> LockHolder | None:
    """Return the label in an open lock file; None if its content is not a valid one."""
    try:
        holder = msgspec.json.decode(os.pread(fd, _LABEL_BYTES, 0), type=LockHolder)
    except (OSError, ValueError, RecursionError):
        return None
    return holder if holder.host.isprintable() else None


def _write_label(fd: int, holder: LockHolder | None) -> None:
    """Write a label into a lock file; None: remove it."""
    with suppress(OSError):  # on a full disk the lock works, only its label is missing
        os.ftruncate(fd, 0)
        if holder is not None:
            os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)


def _born(pid: int) -> str:
    """Return the boot and start time of a process; "" if the kernel does not tell (not Linux).

    `_DEAD` if it has ended and its parent has not taken notice yet.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return _DEAD if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    except (OSError, ValueError, IndexError):
        return ""


class RunLock:
    """The lock, held from `acquire` to `release` or to the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, run_dir: Path, *, now_s: float) -> RunLock:
        """Take the lock. Raises `LockHeld`, which names the holder, or `LocalIOError`."""
        path = RunDirectory(run_dir).lock
        fd = _open(path)
        try:
            _lock(fd, path, now_s)
        except BaseException:
            os.close(fd)
            raise
        _write_label(fd, LockHolder.this_process(now=timestamp(now_s)))
        return cls(fd)

    def release(self) -> None:
        """Release the lock, if it is still held.

        The file stays, because removing it could remove the lock of another process; its label
        is removed first, so that nobody finds a name on a free lock.
        """
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            _write_label(fd, None)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _open(path: Path) -> int:
    """Open the lock file, but follow no link and wait for no other end of a pipe."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise LocalIOError(f"{path} is a symbolic link; remove it, then run again") from None
        raise LocalIOError(f"{path}: {error.strerror}; is the directory writable?") from error


def _lock(fd: int, path: Path, now_s: float) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise LocalIOError(f"{path} is not a regular file; remove it, then run again")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise LockHeld(_held_message(path.parent, _read_label(fd), now_s=now_s)) from None
        raise LocalIOError(
            f"{path}: this file system cannot lock a file ({error.strerror}), so two runs could"
            " not be kept apart; use --run-dir to put the run directory on another disk"
        ) from error


def _held_message(run_dir: Path, holder: LockHolder | None, *, now_s: float) -> str:
    """Return who holds the lock, whether that process is alive, and what to do."""
    if holder is None:
        return f"{run_dir}: in use by another process; wait for it: --if-locked wait=10m"
    return f"{run_dir}: in use by {holder.phrase(now_s)}; {_advice(run_dir, holder)}"


def _advice(run_dir: Path, holder: LockHolder) -> str:
    match holder.state():
        case ProcessState.RUNS:
            return (
                "it is still at work. Wait for it (--if-locked wait=10m), or stop it:"
                f" kill {holder.pid}"
            )
        case ProcessState.UNKNOWN:
            return (
                "whether it is still at work can only be seen there. Wait for it"
                " (--if-locked wait=10m), or stop it there"
            )
        case ProcessState.ENDED:
            return (
                "that process has ended, so the lock is held by one that it started, or from"
                " another machine over a network file system. On this host,"
                f" fuser {RunDirectory(run_dir).lock} names it"
            )
