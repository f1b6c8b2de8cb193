"""TODO."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from batchgen.app.spool import Spool
from batchgen.core.plan import Records
from batchgen.core.summary import summarise
from batchgen.reports.html_report import REPORT_NAME, write_report
from batchgen.reports.results_csv import RESULTS_NAME, ResultRow, write_results
from batchgen.reports.status_text import state_phrases


def result_rows(spool: Spool, records: Records) -> Iterator[ResultRow]:
    """Every row of the manifest with what became of it."""
    for row in spool.rows():
        record = records.get(row.id) if row.id else None
        yield ResultRow(job=row.id, columns=row.columns, record=record, problems=row.problems)


def write_views(run_dir: Path, columns: Sequence[str], spool: Spool, records: Records) -> None:
    """Write results.csv and report.html. Raises `LocalIOError`."""
    _write(run_dir, columns, lambda: result_rows(spool, records), spool.valid + spool.invalid)


def write_views_of_ledger(run_dir: Path, records: Records) -> None:
    """The same where the manifest is gone: what the ledger alone knows."""
    known = sorted(records.records(), key=lambda record: (record.submitted_at or "", record.job))

    def rows() -> Iterator[ResultRow]:
        return (ResultRow(job=r.job, columns={}, record=r) for r in known)

    _write(run_dir, (), rows, len(known))


def _write(
    run_dir: Path, columns: Sequence[str], rows: Callable[[], Iterable[ResultRow]], total: int
) -> None:
    write_results(run_dir / RESULTS_NAME, columns, rows())
    summary = summarise(row.record for row in rows())
    facts = ", ".join(state_phrases(summary))
    title = run_dir.name.removesuffix(".sandbox").removesuffix(".run")
    write_report(run_dir / REPORT_NAME, title=title, facts=facts, rows=rows(), total=total)
