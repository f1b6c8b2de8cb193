"""The rows of the results: every row of the manifest with its jobs, then the jobs without a row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchgen.app.spool import Spool, SpooledRow
from batchgen.core.chains import chain_of
from batchgen.core.jobs import Job, Wait
from batchgen.core.lifecycle import JobRecord, Records
from batchgen.core.plan import Policy
from batchgen.core.summary import Summary
from batchgen.reports.results_csv import ResultRow, takes_of

if TYPE_CHECKING:
    from batchgen.app.loading import LoadedBatch


_NOT_DUE = frozenset({Wait.REVIEW, Wait.LATER_REVIEW, Wait.FAILED, Wait.UNWANTED})


def rows_of_batch(
    loaded: LoadedBatch, records: Records, begun_with: Collection[str] | None = None
) -> Iterator[ResultRow]:
    """Yield every row of the manifest with the record of its job, then the jobs without a row.

    Rows that are not selected are among them; one that is switched off is if its job has a record.
    In a directory that was begun by an earlier manifest, rows that it was not `begun_with` are not.
    The jobs of the steps of one row follow one another.
    """
    spool = loaded.spool
    jobs_of_others = _ids_of_jobs(spool, records) if spool.invalid else frozenset()
    has_row = set()
    for row in spool.rows():
        record = None if row.problems else records.get(row.id)
        if begun_with is not None and record is None and row.id not in begun_with:
            continue
        if row.problems:
            job = "" if row.id in jobs_of_others else row.id
            yield ResultRow(job=job, columns=row.columns, record=None, problems=row.problems)
            continue
        has_row.add(row.id)
        if record is not None or not row.switched_off:
            yield _row(row.id, row.columns, record, records, row.model, row.input, step=row.step)
        for later in _later_rows(row, records) if row.steps else ():
            has_row.add(later.job)
            yield later
    for job in records.jobs():
        if job not in has_row:
            yield _row(job, {}, records.get(job), records)


def _later_rows(row: SpooledRow, records: Records) -> Iterator[ResultRow]:
    """Yield the jobs of the later steps of a row."""
    for job in chain_of(row.job(), records, Policy()):
        if job.row is None:
            continue
        record = records.get(job.id)
        found = _row(job.id, row.columns, record, records, job.model, job.input, step=job.step)
        yield replace(found, before=job.before, wait=job.wait, because=_because(job, records))


def _because(job: Job, records: Records) -> str:
    """Return why the job before this one has no output; empty unless it has failed."""
    if job.wait is not Wait.FAILED:
        return ""
    before = records.get(job.before)
    if before is None:
        return f"waits for {job.before}"
    error = f": {before.error.kind}: {before.error.message}" if before.error is not None else ""
    return f"waits for {job.before}, which is {before.state.value}{error}"


def _row(
    job: str,
    columns: Mapping[str, str],
    record: JobRecord | None,
    records: Records,
    model: str = "",
    given: Mapping[str, Any] | None = None,
    *,
    step: str = "",
) -> ResultRow:
    takes = takes_of(record, records.verdict, records.verdict_on)
    return ResultRow(
        job=job, columns=columns, record=record, takes=takes, model=model, given=given or {},
        step=step,
    )  # fmt: skip


def _ids_of_jobs(spool: Spool, records: Records) -> frozenset[str]:
    """Return the ids of wrong rows that a job has too, of another row or of the ledger."""
    ids = {row.id for row in spool.rows() if row.problems and row.id}
    jobs = {row.id for row in spool.rows() if not row.problems and row.id in ids}
    return frozenset(jobs | {job for job in ids if records.get(job) is not None})


def rows_of_ledger(records: Records) -> Iterator[ResultRow]:
    """Yield every job of the ledger in the order of their first records, without its row."""
    return (_row(record.job, {}, record, records) for record in records.records())


def summary_of(rows: Iterable[ResultRow]) -> Summary:
    """Return the totals of all rows of the results: everybody who counts jobs counts these."""
    summary = Summary()
    for row in rows:
        add_row(summary, row)
    return summary


def add_row(summary: Summary, row: ResultRow) -> None:
    """Count one row in totals."""
    summary.count_row(row.record, is_invalid=bool(row.problems))
    summary.not_due += row.wait in _NOT_DUE and row.record is None
    if row.wait is Wait.REVIEW:
        summary.waiting_for_review[row.step] += 1
