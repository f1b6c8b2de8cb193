"""The file of a log: it is rotated at a size, and opened again if somebody has moved it.

Several runs may write to one log. Each line is one write to the end of the file, so no line is cut
or lost: a line that arrives in a file that was just rotated is in the file with the number.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

KEPT = 5
"""Rotated files: `F.1` is the newest of them."""
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class LogFile:
    """A log (protocol `TextStream`); a write may raise OSError."""

    encoding = "utf-8"

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        """Open the file. Raises OSError."""
        self.name = str(path)
        self._path, self._max_bytes = path, max_bytes
        self._fd = _opened(path)

    def write(self, text: str, /) -> int:
        """Append a text, which is one line or several. Raises OSError."""
        data = text.encode("utf-8", "backslashreplace")
        if not self._is_current():
            self._open_again()
        if self._max_bytes is not None:
            self._rotate_before(len(data), self._max_bytes)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def isatty(self) -> bool:
        """Tell that this is not a terminal."""
        return False

    def fileno(self) -> int:
        """Return its file descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _is_current(self) -> bool:
        """Tell whether the name is still that of the open file; logrotate gives it to another."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except OSError:
            return False

    def _open_again(self) -> None:
        fd = _opened(self._path)
        self.close()
        self._fd = fd

    def _rotate_before(self, more_bytes: int, max_bytes: int) -> None:
        """Rotate if the next line would make the file too long; only a file of this directory."""
        status = os.fstat(self._fd)
        is_full = status.st_size and status.st_size + more_bytes > max_bytes
        if not is_full or not stat.S_ISREG(status.st_mode) or self._path.is_symlink():
            return
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if self._is_current():  # otherwise another run has rotated it meanwhile
                self._rotate()
        except OSError:
            self._max_bytes = None  # the log goes on in one file
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        if not self._is_current():
            self._open_again()

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _opened(path: Path) -> int:
    """Open a log to append. Raises OSError, also for a pipe that nobody reads."""
    try:
        fd = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is a pipe or a device without a reader", path) from None
        raise
    os.set_blocking(fd, True)
    return fd
