"""A batch as it is now, for commands that only read: ledger, and manifest if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.known_ledgers import KnownLedgers
from batchgen.app.loading import LoadedBatch, load, read_records, records_of
from batchgen.app.open_batch import OpenBatch, locate, open_newest
from batchgen.app.result_files import (
    last_news,
    write_result_files,
    write_results_workbook,
    write_sheet,
    write_standalone,
)
from batchgen.app.result_rows import rows_of_batch, rows_of_ledger, summary_of
from batchgen.app.run_directories import default_directories
from batchgen.app.run_file import first_jobs
from batchgen.core.adoption import with_present_names
from batchgen.core.errors import BatchgenError, ManifestNotFound
from batchgen.core.time_left import time_left_s
from batchgen.core.units import seconds
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.replay import replay
from batchgen.reports.results_csv import ResultRow
from batchgen.reports.results_xlsx import MAX_ROWS
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.core.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSnapshot:
    """The state of a batch without asking the API; close it after use (`with`)."""

    directory: RunDirectory
    records: RecordIndex
    loaded: LoadedBatch | None
    note: str = ""
    """Why the manifest is left out, or its last copy used; empty if it is read as it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.loaded is not None:
            self.loaded.spool.close()

    def rows(self) -> Iterator[ResultRow]:
        """Yield every job of the results, in their order."""
        if self.loaded is None:
            return rows_of_ledger(self.records)
        return rows_of_batch(self.loaded, self.records)

    def summary(self) -> Summary:
        """Return the totals of the results."""
        return summary_of(self.rows())

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the manifest; none without it."""
        return () if self.loaded is None else self.loaded.manifest.columns

    def earlier_summary(self, directory: RunDirectory) -> Summary:
        """Return the totals of a directory that was begun before this one.

        Of the rows of today, only those count with which it began.
        """
        records = records_of(directory)
        if self.loaded is None:
            return summary_of(rows_of_ledger(records))
        spool = self.loaded.spool
        names = with_present_names(first_jobs(directory), spool)
        return summary_of(rows_of_batch(self.loaded, records, names))

    def eta_s(self, summary: Summary, *, now_s: float) -> float | None:
        """Return the seconds until the rest has ended; None if no job has ended lately."""
        moments = (seconds(record.finished_at) for record in self.records.records())
        ended = (moment for moment in moments if moment is not None)
        return time_left_s(ended, summary.unfinished, now_s=now_s)

    def write_result_files(self, *, xlsx: bool = False) -> int:
        """Write the results and the page; with `xlsx` the workbook however many rows there are.

        Return how many rows did not fit into the workbook. Raises `LocalIOError`.
        """
        self.directory.create()
        columns = self.columns
        summary = write_result_files(
            self.directory, columns, self.rows(), news=lambda _: last_news(self.directory)
        )
        if not xlsx or summary.jobs <= MAX_ROWS:
            return 0
        return write_results_workbook(self.directory, columns, self.rows())

    def write_contact_sheet(self, path: Path) -> int:
        """Write one picture of the batch; return how many pictures are on it.

        Raises `UsageError` for a file that is an output itself, and `LocalIOError`.
        """
        return write_sheet(self.directory, self.rows(), path)

    def write_standalone(self, path: Path) -> int:
        """Write the page as one file to send; return how many files are in it.

        Raises `UsageError` for a file that is an output itself, and `LocalIOError`.
        """
        return write_standalone(self.directory, self.rows(), path)


def read_rows(batch: OpenBatch) -> LoadedBatch:
    """Read every row of a manifest. Raises as `load`."""
    return load(batch.manifest, spool_dir=batch.directory.path)


def read_snapshot(
    ref: BatchRef,
    context: CommandContext,
    rows_of: Callable[[OpenBatch], LoadedBatch] = read_rows,
) -> BatchSnapshot:
    """Read the batch, or its ledger alone if the manifest cannot be read.

    `rows_of` gives the rows of an open manifest; they are closed if reading the ledger fails.

    If there is no ledger either, an error of reading the manifest is raised.
    """
    try:
        batch = open_newest(ref, context)
        if not batch.directory.has_ledger:
            known = KnownLedgers.of(context.state_dir, ref)
            known.require_present(locate(ref))
        loaded = rows_of(batch)
    except BatchgenError as error:
        return _without_manifest(ref, error)
    with ExitStack() as on_error:
        on_error.enter_context(loaded)
        records = read_records(batch.directory, loaded)
        on_error.pop_all()
    return BatchSnapshot(
        directory=batch.directory, records=records, loaded=loaded,
        note=batch.note_on_copy or _note_on_shards(ref, batch.directory),
    )  # fmt: skip


def _note_on_shards(ref: BatchRef, directory: RunDirectory) -> str:
    """Return where the jobs are if this batch runs in parts; empty if it does not."""
    directories = locate(ref)
    if directory.has_ledger or directories.shard is not None:
        return ""
    shards = [str(one) for *_, one in directories.begun_shards()]
    if not shards:
        return ""
    return f"this batch has begun in shards ({', '.join(shards)}); add --shard I/N to look at one"


def _without_manifest(ref: BatchRef, error: BatchgenError) -> BatchSnapshot:
    directory = default_directories(ref).newest()
    if not directory.has_ledger or replay(directory.ledger).header is None:
        raise error
    why = "no longer exists" if isinstance(error, ManifestNotFound) else "cannot be read"
    hint = "" if isinstance(error, ManifestNotFound) else " (see: batchgen check)"
    note = f"{ref.shown} {why}{hint}; this is what the ledger alone says"
    return BatchSnapshot(directory=directory, records=records_of(directory), loaded=None, note=note)
