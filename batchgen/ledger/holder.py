"""Who is at work in a run directory, as its lock file says. Reading it takes no lock.

The file is only a label on the kernel's lock: whoever holds that writes his name here, and takes
it away when he lets go. One that was killed leaves his name, so it counts for as much as the
process that it names. What others wrote there is believed in nothing else.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec

from batchgen.core.moments import local_time, seconds
from batchgen.core.quantities import duration_text

LOCK_NAME = "ledger.lock"
_LABEL_BYTES = 4096
_MAX_PID = 2**31 - 1


class Life(Enum):
    """What can be said of a process from here."""

    RUNS = "runs"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """It is, or was, on another machine."""


class Holder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who holds the lock."""

    pid: Annotated[int, msgspec.Meta(gt=0, le=_MAX_PID)]
    host: Annotated[str, msgspec.Meta(max_length=255)] = "?"
    since: Annotated[str, msgspec.Meta(max_length=40)] = "?"
    born: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Tells this process from a later one with its number, also after a reboot; "" unknown."""

    @classmethod
    def myself(cls, *, now: str) -> Holder:
        """This process."""
        pid = os.getpid()
        return cls(pid=pid, host=socket.gethostname(), since=now, born=_born(pid))

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def life(self) -> Life:
        """Whether it still runs."""
        if not self.is_here:
            return Life.UNKNOWN
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            pass  # it runs, under another user
        except OSError:
            return Life.ENDED
        born = _born(self.pid)
        is_another = bool(self.born and born) and self.born != born
        return Life.ENDED if is_another or born == _DEAD else Life.RUNS

    def phrase(self, now_s: float) -> str:
        """`process 4242 on box (this host), since 02:00 (3 h 10 min ago)`."""
        where = f"{self.host} (this host)" if self.is_here else self.host
        return f"process {self.pid} on {where}{self._since(now_s)}"

    def _since(self, now_s: float) -> str:
        since_s = seconds(self.since)
        if since_s is None:
            return ""
        ago = duration_text(max(1.0, now_s - since_s))
        try:
            return f", since {local_time(since_s, now_s=now_s)} ({ago} ago)"
        except (ValueError, OverflowError, OSError):
            return ""  # a year that no calendar of this machine has


def holder_in(run_dir: Path) -> Holder | None:
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


def read_label(fd: int) -> Holder | None:
    """The name in an open lock file; None for anything else that stands there."""
    try:
        holder = msgspec.json.decode(os.pread(fd, _LABEL_BYTES, 0), type=Holder)
    except (OSError, ValueError, RecursionError):
        return None
    return holder if holder.host.isprintable() else None


def write_label(fd: int, holder: Holder | None) -> None:
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
