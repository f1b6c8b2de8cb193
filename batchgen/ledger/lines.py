"""Lines of a ledger by the offsets at which they begin. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 1 << 20
"""Read where all of a ledger is gone through."""
NEAR_BYTES = 4 << 10
"""Read for a line that stands alone."""
FAR_BYTES = 256 << 10
"""Read where lines are asked for one behind the other."""


class LineFile:
    """One open ledger. What is replaced or removed under its name stays readable here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = (0, b"")
        """An offset and the bytes from there on; replaced as one, so that threads may share it."""
        self._size = NEAR_BYTES

    @classmethod
    def open(cls, path: Path) -> LineFile:
        """Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def identity(self) -> tuple[int, int]:
        """Which file this is, whatever its name is by now."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def blocks(self, begin: int, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `begin` to `end`, or to where the file ends by then. Raises OSError."""
        while end is None or begin < end:
            size_bytes = BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - begin)
            block = os.pread(self._fd, size_bytes, begin)
            if not block:
                return
            begin += len(block)
            yield block

    def at(self, offset: int, end: int) -> bytes:
        """The line that begins at `offset`, without its newline; good bytes reach to `end`.

        What lies behind `end` is never kept: it may be cut off and written anew.
        """
        begin, window = self._held
        start = offset - begin
        if 0 <= start < len(window):
            newline = window.find(b"\n", start)
            if newline >= 0:
                return window[start:newline]
        goes_on = 0 <= start - len(window) + NEAR_BYTES < FAR_BYTES
        size = self._size = min(FAR_BYTES, self._size * 4) if goes_on else NEAR_BYTES
        return self._read(offset, end, size)

    def _read(self, offset: int, end: int, size_bytes: int) -> bytes:
        while True:
            window = os.pread(self._fd, min(size_bytes, end - offset), offset)
            if b"\n" in window or size_bytes >= end - offset:
                self._held = (offset, window)
                return window[: window.index(b"\n")]
            size_bytes *= 4
