"""The checked jobs of a manifest on disk, for as long as a command needs them.

A manifest is read once, completely, before anything is submitted. What was checked then is what
is submitted later in the night, whatever a colleague does to the spreadsheet meanwhile; and a
million rows take disk, not memory. The file has no name, so nothing is left of it after a crash.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Job, Where
from batchgen.core.ledger_codec import Position, scan

_BLOCK_BYTES = 1 << 17


class SpooledRow(msgspec.Struct, frozen=True, array_like=True):
    """One row of the expanded manifest: a job, or what is wrong with it."""

    id: str
    model: str
    input: dict[str, Any]
    file: str
    row: int | None
    columns: dict[str, str]
    problems: tuple[str, ...] = ()

    def job(self) -> Job:
        """The job that this row is."""
        where = Where(file=self.file, row=self.row)
        return Job(
            id=self.id, model=self.model, input=self.input, where=where, columns=self.columns
        )


class Spool:
    """Rows, written once and read as often as needed (port `Batch`)."""

    def __init__(self, directory: Path | None = None, *, keep: bool = True) -> None:
        """In `directory`, else the system's; without `keep` rows are only counted."""
        self._keep = keep
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(SpooledRow)
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        self.valid = 0
        self.invalid = 0

    def add(self, row: SpooledRow) -> None:
        """Append a row. Raises `LocalIOError` where the disk is full."""
        if self._keep:
            self._write(row)
        if row.problems:
            self.invalid += 1
        else:
            self.valid += 1

    def _write(self, row: SpooledRow) -> None:
        try:
            self._file.write(self._encoder.encode(row) + b"\n")
        except OSError as error:
            raise LocalIOError(f"temporary file: {error.strerror}") from error

    def rows(self) -> Iterator[SpooledRow]:
        """Every row in the manifest's order.

        Several passes may go on at the same time, also in different threads: none moves the
        position of the file.
        """
        self._file.flush()
        for line in scan(self._blocks(self._file.fileno()), Position()):
            yield self._decoder.decode(line)

    @staticmethod
    def _blocks(fd: int) -> Iterator[bytes]:
        offset = 0
        while block := os.pread(fd, _BLOCK_BYTES, offset):
            offset += len(block)
            yield block

    def jobs(self) -> Iterable[Job]:
        """Every valid job in the manifest's order."""
        return (row.job() for row in self.rows() if not row.problems)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
