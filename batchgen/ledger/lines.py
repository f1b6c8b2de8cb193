"""Lines of a ledger by the offsets at which they begin. Reads only."""

from __future__ import annotations

import os
from pathlib import Path

NEAR_BYTES = 4 << 10
"""Read for a line that stands alone."""
FAR_BYTES = 256 << 10
"""Read where lines are asked for one behind the other."""


class LineFile:
    """One open ledger. What is replaced or removed under its name stays readable here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._begin = 0
        self._window = b""
        self._size = NEAR_BYTES

    @classmethod
    def open(cls, path: Path) -> LineFile:
        """Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def size_bytes(self) -> int:
        """How long the file is now."""
        return os.fstat(self._fd).st_size

    @property
    def identity(self) -> tuple[int, int]:
        """Which file this is, whatever its name is by now."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def block(self, offset: int, size_bytes: int) -> bytes:
        """Bytes from `offset`; fewer, or none, at the end of the file. Raises OSError."""
        return os.pread(self._fd, size_bytes, offset)

    def at(self, offset: int, end: int) -> bytes:
        """The line that begins at `offset`, without its newline; good bytes reach to `end`.

        What lies behind `end` is never kept: it may be cut off and written anew.
        """
        start = offset - self._begin
        if 0 <= start < len(self._window):
            newline = self._window.find(b"\n", start)
            if newline >= 0:
                return self._window[start:newline]
        self._read(offset, end)
        return self._window[: self._window.index(b"\n")]

    def _read(self, offset: int, end: int) -> None:
        goes_on = 0 <= offset - self._begin - len(self._window) + NEAR_BYTES < FAR_BYTES
        self._size = min(FAR_BYTES, self._size * 4) if goes_on else NEAR_BYTES
        size = self._size
        while True:
            self._begin = offset
            self._window = os.pread(self._fd, min(size, end - offset), offset)
            if b"\n" in self._window or size >= end - offset:
                return
            size *= 4
