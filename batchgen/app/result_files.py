"""The files that people read after a run: results.csv and report.html."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from batchgen.app.spool import Spool
from batchgen.core.plan import Records
from batchgen.core.summary import summarise
from batchgen.reports.html_report import write_report
from batchgen.reports.results_csv import ResultRow, write_results
from batchgen.reports.status_text import state_phrases
from batchgen.system.run_directory import RunDirectory


def rows_of_batch(spool: Spool, records: Records) -> Iterator[ResultRow]:
    """Yield every row of the manifest with the record of its job.

    A row that is not selected is among them if its job has a record.
    """
    for row in spool.rows():
        record = records.get(row.id) if row.id else None
        if row.left_out and record is None:
            continue
        yield ResultRow(job=row.id, columns=row.columns, record=record, problems=row.problems)


def rows_of_ledger(records: Records) -> Iterator[ResultRow]:
    """Yield every job of the ledger; for a batch whose manifest is gone."""
    known = sorted(records.records(), key=lambda record: (record.submitted_at or "", record.job))
    return (ResultRow(job=record.job, columns={}, record=record) for record in known)


def write_result_files(
    directory: RunDirectory, columns: Sequence[str], rows: Callable[[], Iterable[ResultRow]]
) -> None:
    """Write both files; `rows` is called for each pass. Raises `LocalIOError`."""
    write_results(directory.results, columns, rows())
    summary = summarise(row.record for row in rows())
    facts = ", ".join(state_phrases(summary))
    write_report(
        directory.page, title=directory.title, facts=facts, rows=rows(), total=summary.jobs
    )
