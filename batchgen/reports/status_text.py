"""The state of a batch in words and in JSON, and the warnings about outputs not yet downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.history import Changes, durations, jobs_by_state
from batchgen.core.lifecycle import JobState
from batchgen.core.spreadsheet import column_named
from batchgen.core.summary import Summary
from batchgen.core.units import count_text, duration_text, seconds, size_text
from batchgen.reports.results_csv import INVALID, ResultRow
from batchgen.system.run_directory import RunDirectory

DAY_S = 86_400.0
RETENTION_S = 7 * DAY_S
"""Outputs are kept so long. Nothing is published for this API; its sister API says seven days."""
URGENT_S = 5 * DAY_S
"""From this age on, the warning asks for a download now."""

_STATE_TEXTS = {
    JobState.IN_QUEUE: "queued remotely",
    JobState.IN_PROGRESS: "running remotely",
    JobState.IN_DOUBT: "in doubt",
    JobState.COMPLETED: "completed, not downloaded",
    JobState.UNKNOWN: "in a state that only a later version knows",
}


def uncollected_sentence(jobs: int, oldest_age_s: float | None) -> str:
    """Return a warning about jobs that are paid for and not downloaded.

    `oldest_age_s` is the time since the first of them ended.
    """
    if oldest_age_s is None:
        return f"{count_text(jobs, 'job')} completed, not downloaded"
    oldest = "ended" if jobs == 1 else "the oldest ended"
    fact = f"{count_text(jobs, 'job')} completed, not downloaded; {oldest} {_age(oldest_age_s)} ago"
    if oldest_age_s >= RETENTION_S:
        return f"{fact}. Outputs older than 7 days may be gone: try now with batchgen run"
    if oldest_age_s >= URGENT_S:
        return f"{fact}. Outputs may be deleted after 7 days: fetch them now with batchgen run"
    return f"{fact}; batchgen run fetches them (outputs may be deleted after 7 days)"


def _age(age_s: float) -> str:
    return f"{age_s / DAY_S:.1f} days" if age_s >= 2 * DAY_S else duration_text(max(1.0, age_s))


def state_phrases(summary: Summary) -> Iterator[str]:
    """Yield `40 downloaded`, `2 failed`, `$1.26`."""
    for state in JobState:
        if count := summary.states[state]:
            yield f"{count:,} {_STATE_TEXTS.get(state, state.value)}"
    if summary.invalid:
        yield f"{summary.invalid:,} {INVALID}"
    if summary.cost_usd:
        yield f"${summary.cost_usd:,.2f}"


def status_lines(
    summary: Summary, run_dir: Path, *, now_s: float, serve: str = "batchgen serve"
) -> Iterator[str]:
    """Yield the state of a batch for the user: totals, causes, and where the results are.

    `serve` is the command that shows the page of this batch.
    """
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
        age_s = None if since_s is None else now_s - since_s
        yield uncollected_sentence(waiting, age_s)
    for step, count in summary.waiting_for_review.items():
        verb = "waits" if count == 1 else "wait"
        yield f"{count_text(count, step)} {verb} for your review: {serve}"
    if summary.files:
        size = size_text(summary.file_bytes)
        yield f"{count_text(summary.files, 'file')}, {size}; look at {RunDirectory(run_dir).page}"


def summary_json(
    summary: Summary, code: int | None, reasons: Sequence[str], changes: Changes | None = None
) -> dict[str, object]:
    """Return the state of a batch for a program; without `code` if no run has ended.

    `changes` is what is new since the last run.
    """
    return {
        "jobs": summary.jobs,
        "states": dict(jobs_by_state(summary)),
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
        "duration_s": durations(summary),
        **({} if changes is None else {"new": msgspec.structs.asdict(changes)}),
        **({} if code is None else {"exit_code": code, "reasons": list(reasons)}),
    }


@dataclass(slots=True)
class StatusByColumn:
    """The totals of each value, in the order of the rows."""

    column: str
    """As the manifest spells it."""
    totals: dict[str, Summary] = field(default_factory=dict)

    @classmethod
    def of(cls, column: str, columns: Sequence[str]) -> StatusByColumn:
        """Return empty totals. Raises `ManifestError` if the manifest has no such column."""
        try:
            return cls(column_named(column, columns))
        except ValueError as error:
            raise ManifestError([Problem("--by", str(error))]) from None

    def count_all(self, rows: Iterable[ResultRow]) -> None:
        """Count rows; a job whose row has gone has no value."""
        for row in rows:
            value = row.columns.get(self.column, "").strip()
            summary = self.totals.setdefault(value, Summary())
            summary.count_row(row.record, is_invalid=bool(row.problems))

    def as_json(self) -> dict[str, object]:
        """Return `{COLUMN: {VALUE: {jobs, states, cost_usd}}}`."""
        return {
            self.column: {
                value: {
                    "jobs": summary.jobs,
                    "states": dict(jobs_by_state(summary)),
                    "cost_usd": round(summary.cost_usd, 6),
                }
                for value, summary in self.totals.items()
            }
        }

    def lines(self) -> Iterator[str]:
        """Yield a line for each value."""
        for value, summary in self.totals.items():
            phrases = ", ".join(state_phrases(summary))
            yield f"  {self.column}={value or '(empty)'}: {phrases}"
