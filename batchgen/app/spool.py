"""The checked rows of a manifest in a temporary file, for as long as a command needs them.

A manifest is read once, completely, before anything is submitted. What was checked is what is
submitted hours later, even if somebody saves the spreadsheet in between; and a million rows take
disk, not memory. The file has no name, so nothing is left of it after a crash.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Asset, Job, StepDraft, Where, step_job_name
from batchgen.core.ledger_codec import Position, scan

_BLOCK_BYTES = 1 << 17


class SpooledRow(msgspec.Struct, frozen=True, array_like=True):
    """One row of the expanded manifest: a job, or a row with its problems."""

    id: str
    model: str
    input: dict[str, Any]
    file: str
    row: int | None
    columns: dict[str, str]
    problems: tuple[str, ...] = ()
    left_out: bool = False
    """True if the selection of this run leaves the row out."""
    switched_off: bool = False
    """Whether it is left out by its own `enabled` column."""
    fingerprint: str = ""
    """That of its job."""
    step: str = ""
    """The first step, if the manifest has steps."""
    steps: tuple[StepDraft, ...] = ()
    """The later ones."""
    assets: tuple[tuple[str, int | None, Asset], ...] = ()
    """Places of the input that name a file on this machine."""

    def job(self) -> Job:
        """Return the row as a job."""
        where = Where(file=self.file, row=self.row)
        return Job(
            id=self.id, model=self.model, input=self.input, where=where, columns=self.columns,
            known_fingerprint=self.fingerprint, step=self.step, steps=self.steps,
            assets={(name, position): one for name, position, one in self.assets},
        )  # fmt: skip


class Spool:
    """Rows that are written once and read as often as needed (port `Batch`)."""

    def __init__(self, directory: Path | None = None, *, keep: bool = True) -> None:
        """Use `directory`, or else the system's; without `keep`, rows are only counted.

        Raises `LocalIOError` if no file can be made there.
        """
        self.keeps = keep
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(SpooledRow)
        with _reported():
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        self.valid = 0
        self.invalid = 0

    def add(self, row: SpooledRow) -> None:
        """Append a row. Raises `LocalIOError` if the disk is full."""
        if self.keeps:
            self._write(row)
        if row.left_out:
            return
        if row.problems:
            self.invalid += 1
        else:
            self.valid += 1 + len(row.steps)

    def count_valid(self, job: Job) -> None:
        """Count a job, and those of its later steps, without keeping it."""
        self.valid += 1 + len(job.steps)

    def _write(self, row: SpooledRow) -> None:
        with _reported():
            self._file.write(self._encoder.encode(row) + b"\n")

    def flush(self) -> None:
        """Hand over what was added to the disk. Raises `LocalIOError` if that is full."""
        with _reported():
            self._file.flush()

    def rows(self) -> Iterator[SpooledRow]:
        """Yield every row in the manifest's order, those that are left out too.

        Several passes may run at the same time, also in different threads, because none moves the
        position of the file.
        """
        self.flush()
        for line in scan(self._blocks(self._file.fileno()), Position()):
            yield self._decoder.decode(line)

    @staticmethod
    def _blocks(fd: int) -> Iterator[bytes]:
        offset = 0
        while True:
            with _reported():
                block = os.pread(fd, _BLOCK_BYTES, offset)
            if not block:
                return
            offset += len(block)
            yield block

    def jobs(self) -> Iterable[Job]:
        """Return every valid job in the manifest's order."""
        return (row.job() for row in self.rows() if not (row.problems or row.left_out))

    def ids(self) -> Iterable[str]:
        """Return the id of every valid job in the manifest's order."""
        return (row.id for row in self.rows() if not (row.problems or row.left_out))

    def later_ids(self) -> Iterable[str]:
        """Return the id of each job of a later step that a row has only one of."""
        drafts = ((job.id, draft) for job in self.jobs() for draft in job.steps)
        return (step_job_name(row, one.step) for row, one in drafts if not one.of_each_output)

    @staticmethod
    def following(_: Job) -> Iterable[Job]:
        """Return no job: rows without steps have one each."""
        return ()

    @staticmethod
    def may_submit(_: Job) -> bool:
        """Return True: a manifest by itself has no limit."""
        return True

    def left_out(self) -> Iterable[str]:
        """Return the id of every row that is not selected or not valid."""
        return (row.id for row in self.rows() if row.id and (row.problems or row.left_out))

    def unselected(self) -> Iterable[str]:
        """Return the id of every row that is not selected, although it is switched on."""
        return (row.id for row in self.rows() if row.left_out and not row.switched_off)

    def switched_on(self) -> Iterable[str]:
        """Return the id of every row that a run can select."""
        return (row.id for row in self.rows() if not (row.problems or row.switched_off))

    def close(self) -> None:
        """Remove the file; what a full disk did not take is no longer needed."""
        with suppress(OSError):
            self._file.close()


@contextmanager
def _reported() -> Iterator[None]:
    """Raise what the disk refuses as `LocalIOError`."""
    try:
        yield
    except OSError as error:
        raise LocalIOError(f"temporary file: {error.strerror or error}") from error
