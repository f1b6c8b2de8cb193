"""The records of a ledger as they are written: each line is read once. Takes no lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from batchgen.core.codec import BadLine, Position, decode, decode_header, scan
from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger import LEDGER_NAME

_BLOCK_BYTES = 1 << 20


class Tail:
    """One file, from its first line to whatever it has come to."""

    def __init__(self, run_dir: Path) -> None:
        """Raises `LocalIOError`; a ledger that is not there yet is an empty one."""
        self._path = run_dir / LEDGER_NAME
        self._position = Position()
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
        except OSError as error:
            raise LocalIOError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def is_current(self) -> bool:
        """Whether it is still the ledger: not replaced (compaction), nor cut below what was read.

        A torn tail that is cut is no such cut, because nobody has read it yet.
        """
        try:
            now = self._path.stat()
        except OSError:
            return self._fd < 0
        if self._fd < 0:
            return False
        mine = os.fstat(self._fd)
        is_same = (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
        return is_same and now.st_size >= self._position.offset

    def read_on(self) -> Iterator[JobRecord]:
        """What was written since.

        Raises `LedgerDamaged`, `LedgerForeign` or `LocalIOError`.
        """
        try:
            for line in scan(self._blocks(), self._position):
                if self._position.line == 0:
                    self._require_header(line)
                elif line.strip():
                    yield self._record(line)
        except OSError as error:
            raise LocalIOError(f"{self._path}: {error.strerror}") from error

    def _blocks(self) -> Iterator[bytes]:
        offset = self._position.offset
        while self._fd >= 0 and (block := os.pread(self._fd, _BLOCK_BYTES, offset)):
            offset += len(block)
            yield block

    def _require_header(self, line: bytes) -> None:
        try:
            decode_header(line)
        except BadLine as error:
            raise LedgerForeign(f"{self._path}:1: {error}; is this the right --run-dir?") from None

    def _record(self, line: bytes) -> JobRecord:
        try:
            return decode(line)
        except BadLine as error:
            where = f"{self._path}:{self._position.line + 1}"
            raise LedgerDamaged(
                f"{where}: damaged line ({error}); look at it with: batchgen ledger verify"
                f" --run-dir {self._path.parent}"
            ) from None
