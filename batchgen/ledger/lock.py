"""One run at a time in a run directory.

A kernel lock (`flock`) on a file of its own, so that it dies with its process however that ends,
and so that the ledger can be replaced by a compacted one while it is held. What stands in the
file is for people and onlookers only (`ledger.holder`).

Who is at work in a run directory, as its lock file says. Reading it takes no lock.

The file is only a label on the kernel's lock: whoever holds that writes his name here, and takes
it away when he lets go. One that was killed leaves his name, so it counts for as much as the
process that it names. What others wrote there is believed in nothing else.
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


def at_work(run_dir: Path) -> LockHolder | None:
    """Who is at work in a run directory, as its lock file says. Takes no lock.

    One that is known to have ended is not; of one on another machine that cannot be known.
    """
    holder = holder_in(run_dir)
    return None if holder is None or holder.life() is ProcessState.ENDED else holder


def work_sentence(holder: LockHolder, now_s: float) -> str:
    """Who is at work, for a person who looks."""
    there = "" if holder.is_here else "; whether it still is can be seen there only"
    return f"at work: {holder.phrase(now_s)}, as the lock file says{there}"


LOCK_NAME = "ledger.lock"
_LABEL_BYTES = 4096
_MAX_PID = 2**31 - 1


class ProcessState(Enum):
    """What can be said of a process from here."""

    RUNS = "runs"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """It is, or was, on another machine."""


class LockHolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who holds the lock."""

    pid: Annotated[int, msgspec.Meta(gt=0, le=_MAX_PID)]
    host: Annotated[str, msgspec.Meta(max_length=255)] = "?"
    since: Annotated[str, msgspec.Meta(max_length=40)] = "?"
    born: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Tells this process from a later one with its number, also after a reboot; "" unknown."""

    @classmethod
    def myself(cls, *, now: str) -> LockHolder:
        """This process."""
        pid = os.getpid()
        return cls(pid=pid, host=socket.gethostname(), since=now, born=_born(pid))

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def life(self) -> ProcessState:
        """Whether it still runs."""
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
        """`process 4242 on box (this host), since 02:00 (3 h 10 min ago)`."""
        where = f"{self.host} (this host)" if self.is_here else self.host
        return f"process {self.pid} on {where}{self._since(now_s)}"

    def as_json(self) -> dict[str, object]:
        """The keys that `status --json` shows."""
        return {"pid": self.pid, "host": self.host, "since": self.since}

    def _since(self, now_s: float) -> str:
        since_s = seconds(self.since)
        if since_s is None:
            return ""
        ago = duration_text(max(1.0, now_s - since_s))
        try:
            return f", since {local_time(since_s, now_s=now_s)} ({ago} ago)"
        except (ValueError, OverflowError, OSError):
            return ""  # a year that no calendar of this machine has


def holder_in(run_dir: Path) -> LockHolder | None:
    """The name in the lock file of a run directory; None where there is none that makes sense."""
    try:
        fd = os.open(
            run_dir / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return None
    try:
        return read_label(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def read_label(fd: int) -> LockHolder | None:
    """The name in an open lock file; None for anything else that stands there."""
    try:
        holder = msgspec.json.decode(os.pread(fd, _LABEL_BYTES, 0), type=LockHolder)
    except (OSError, ValueError, RecursionError):
        return None
    return holder if holder.host.isprintable() else None


def write_label(fd: int, holder: LockHolder | None) -> None:
    """Put a name into a lock file; None: take it out."""
    with suppress(OSError):  # a full disk: the lock itself holds, only its label is missing
        os.ftruncate(fd, 0)
        if holder is not None:
            os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)


_DEAD = "dead"


def _born(pid: int) -> str:
    """Boot and moment at which a process began; "" where the kernel does not tell (not Linux).

    `_DEAD` for one that has ended and whose parent did not take notice yet.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return _DEAD if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    except (OSError, ValueError, IndexError):
        return ""


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
        write_label(fd, LockHolder.myself(now=timestamp(now_s)))
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


def held_message(run_dir: Path, holder: LockHolder | None, *, now_s: float) -> str:
    """Who is in the way, whether that is alive, and what to do."""
    if holder is None:
        return f"{run_dir}: in use by another process; wait for it: --if-locked wait=10m"
    return f"{run_dir}: in use by {holder.phrase(now_s)}; {_advice(run_dir, holder)}"


def _advice(run_dir: Path, holder: LockHolder) -> str:
    match holder.life():
        case ProcessState.RUNS:
            return (
                "it is still at work. Wait for it (--if-locked wait=10m), or stop it:"
                f" kill {holder.pid}"
            )
        case ProcessState.UNKNOWN:
            return (
                "whether it is still at work can be seen there only. Wait for it"
                " (--if-locked wait=10m), or stop it there"
            )
        case ProcessState.ENDED:
            return (
                "that process has ended, so the lock is held by one that it started, or from"
                " another machine over a network file system. On this host,"
                f" fuser {run_dir / LOCK_NAME} names it"
            )
