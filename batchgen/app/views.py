"""What has become of a batch: status, results.csv and report.html. Reads the ledger, no network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from batchgen.clock import SystemClock
from batchgen.core.lifecycle import JobState
from batchgen.core.moments import seconds
from batchgen.core.plan import Records
from batchgen.core.quantities import count_text, size_text
from batchgen.core.retention import uncollected_sentence
from batchgen.core.summary import Summary, summarise
from batchgen.ledger import Holder
from batchgen.report import REPORT_NAME, write_report
from batchgen.results import RESULTS_NAME, ResultRow, write_results
from batchgen.spool import Spool

_WORDS = {
    JobState.IN_QUEUE: "queued remotely",
    JobState.IN_PROGRESS: "running remotely",
    JobState.IN_DOUBT: "in doubt",
    JobState.COMPLETED: "completed, not downloaded",
    JobState.UNKNOWN: "in a state that only a later version knows",
}


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


def state_phrases(summary: Summary) -> Iterator[str]:
    """`40 downloaded`, `2 failed`, `$1.26`."""
    for state in JobState:
        if count := summary.states[state]:
            yield f"{count:,} {_WORDS.get(state, state.value)}"
    if summary.cost_usd:
        yield f"${summary.cost_usd:,.2f}"


def status_lines(summary: Summary, run_dir: Path) -> Iterator[str]:
    """The state of a batch for a person: totals, causes, where to look."""
    yield f"{count_text(summary.jobs, 'job')}: {', '.join(state_phrases(summary))}"
    for (kind, message), count in summary.errors.most_common(8):
        yield f"  {count:,} x {kind}: {message}"
    if doubts := summary.states[JobState.IN_DOUBT]:
        yield (
            f"{count_text(doubts, 'job')} in doubt: the answer to a submission was lost, so it may"
            " have been paid for. Look at runcomfy.com under Generations; what is not there can be"
            " submitted again with: batchgen run --in-doubt resubmit"
        )
    if waiting := summary.states[JobState.COMPLETED]:
        since_s = seconds(summary.oldest_uncollected)
        age_s = None if since_s is None else SystemClock().now_s() - since_s
        yield uncollected_sentence(waiting, age_s)
    if summary.files:
        size = size_text(summary.file_bytes)
        yield f"{count_text(summary.files, 'file')}, {size}; look at {run_dir / REPORT_NAME}"


def holder_json(holder: Holder | None) -> dict[str, object] | None:
    """Who is at work, for a program; None: nobody."""
    if holder is None:
        return None
    return {"pid": holder.pid, "host": holder.host, "since": holder.since}


def summary_json(summary: Summary, code: int | None, reasons: Sequence[str]) -> dict[str, object]:
    """The same for a program."""
    return {
        "jobs": summary.jobs,
        "states": {state.value: summary.states[state] for state in JobState},
        "cost_usd": round(summary.cost_usd, 6),
        "files": summary.files,
        "bytes": summary.file_bytes,
        "not_downloaded": {
            "jobs": summary.states[JobState.COMPLETED],
            "oldest_finished_at": summary.oldest_uncollected,
        },
        "failures": [
            {"kind": kind, "message": message, "count": count}
            for (kind, message), count in summary.errors.most_common()
        ],
        **({} if code is None else {"exit_code": code, "reasons": list(reasons)}),
    }
