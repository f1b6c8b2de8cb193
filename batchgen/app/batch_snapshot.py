"""A batch as it stands, for commands that only look: ledger, and manifest if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from batchgen.app.batch_ref import BatchRef
from batchgen.app.loading import LoadedBatch, load
from batchgen.app.open_batch import latest, open_batch
from batchgen.app.result_files import result_rows, write_views, write_views_of_ledger
from batchgen.app.run_directory import plain_directory
from batchgen.core.adoption import adoptions
from batchgen.core.errors import BatchgenError, ManifestNotFound
from batchgen.core.summary import Summary, summarise, time_left_s
from batchgen.core.units import seconds
from batchgen.ledger import LEDGER_NAME, LockHolder, RecordIndex, replay
from batchgen.ledger.lock import at_work
from batchgen.reports.results_csv import ResultRow
from batchgen.system.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSnapshot:
    """What is known without asking anyone."""

    run_dir: Path
    records: RecordIndex
    loaded: LoadedBatch | None
    note: str = ""
    """Why the manifest is left out, where it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.loaded is not None:
            self.loaded.spool.close()

    def rows(self) -> Iterator[ResultRow]:
        """One for each job."""
        if self.loaded is not None:
            return result_rows(self.loaded.spool, self.records)
        known = self.records.records()
        return (ResultRow(job=record.job, columns={}, record=record) for record in known)

    @property
    def holder(self) -> LockHolder | None:
        """Who is at work here, as the lock file says."""
        return at_work(self.run_dir)

    @property
    def now_s(self) -> float:
        """Seconds since 1970, now."""
        return SystemClock().now_s()

    def eta_s(self, summary: Summary) -> float | None:
        """Seconds until the rest has ended, while a run is at work; None where none seems to be."""
        moments = (seconds(record.finished_at) for record in self.records.records())
        ended = (moment for moment in moments if moment is not None)
        return time_left_s(ended, summary.unfinished, now_s=self.now_s)

    def write_views(self) -> None:
        """results.csv and report.html."""
        if self.loaded is None:
            write_views_of_ledger(self.run_dir, self.records)
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        columns = self.loaded.manifest.columns
        write_views(self.run_dir, columns, self.loaded.spool, self.records)


def ledger_summary(run_dir: Path) -> Summary:
    """What the ledger alone says."""
    return summarise(replay(run_dir / LEDGER_NAME).index.records())


def read_snapshot(target: BatchRef) -> BatchSnapshot:
    """To be closed after use (`with`).

    Raises what the manifest raises only where there is no ledger to speak from instead.
    """
    try:
        opened = open_batch(target, pick=latest)
        run_dir = opened.run_dir
        replayed = replay(run_dir / LEDGER_NAME)
        loaded = load(opened.manifest, opened.target, spool_dir=run_dir)
    except BatchgenError as error:
        run_dir = plain_directory(target)
        replayed = replay(run_dir / LEDGER_NAME)
        records = replayed.index
        if replayed.header is None:
            raise
        gone = isinstance(error, ManifestNotFound)
        why = "is gone" if gone else "cannot be read (see: batchgen check)"
        note = f"{target.manifest} {why}; this is what the ledger alone knows"
        return BatchSnapshot(run_dir=run_dir, records=records, loaded=None, note=note)
    records = replayed.index
    for old, new in adoptions(loaded.spool, records):
        records.adopt(old, new)
    return BatchSnapshot(run_dir=run_dir, records=records, loaded=loaded)
