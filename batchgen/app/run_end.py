"""The end of one run: the one set of numbers that summary, page, history and news tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from batchgen.core.budget import Budget
from batchgen.core.errors import LocalIOError
from batchgen.core.history import Changes, NewsText, PastRun, durations, jobs_by_state
from batchgen.core.lifecycle import JobState
from batchgen.core.summary import Summary
from batchgen.core.units import local_time, seconds, timestamp
from batchgen.ledger.history_file import append_to_history
from batchgen.reports.results_csv import ResultRow
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Compares the jobs of a batch with the end of the last run."""

    begun_s: float
    """The beginning of this run, in seconds since 1970."""
    past: PastRun | None = None
    state_then: Callable[[str], JobState | None] = lambda _: None
    budgets: Sequence[Budget] = ()
    changes: Changes = field(default_factory=Changes)

    def counted(self, rows: Iterable[ResultRow]) -> Iterator[ResultRow]:
        """Yield the rows, and count on the way what has changed."""
        self.changes = Changes()
        for row in rows:
            if row.record is not None:
                self.changes.count(self.state_then(row.record.job), row.record.state)
            yield row

    def text(self, summary: Summary, *, now_s: float) -> str:
        """Return what is new, in one sentence; every row was counted before."""
        before_usd = 0.0 if self.past is None else self.past.cost_usd
        self.changes.waiting_for_review = summary.waiting_for_review.total()
        self.changes.cost_usd = round(max(0.0, summary.cost_usd - before_usd), 6)
        news = NewsText(changes=self.changes, summary=summary, budgets=self.budgets, now_s=now_s)
        ended_s = seconds(self.past.ended) if self.past is not None else None
        since = "" if ended_s is None else f" since the run of {local_time(ended_s, now_s=now_s)}"
        return f"new{since}: {news}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, and what it left."""

    summary: Summary
    changes: Changes
    sentence: str
    code: int
    reasons: tuple[str, ...]
    begun_s: float
    ended_s: float
    outages: tuple[tuple[float, float], ...] = ()
    """From and to, in seconds since 1970."""

    def remember(self, directory: RunDirectory) -> str:
        """Append the run to the history; return why that failed, or "".

        A line that is missing changes nothing about the run.
        """
        try:
            append_to_history(directory, self.past_run())
        except LocalIOError as error:
            return f"{error}; this run is missing in the history"
        return ""

    def past_run(self) -> PastRun:
        """Return the line of the history."""
        return PastRun(
            begun=timestamp(self.begun_s),
            ended=timestamp(self.ended_s),
            exit_code=self.code,
            reasons=self.reasons,
            jobs=dict(jobs_by_state(self.summary)),
            new=self.changes,
            cost_usd=round(self.summary.cost_usd, 6),
            duration_s=durations(self.summary),
            outages=tuple((timestamp(from_s), timestamp(to_s)) for from_s, to_s in self.outages),
            sentence=self.sentence,
        )
