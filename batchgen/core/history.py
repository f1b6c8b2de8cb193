"""The history of a batch: how each run ended, and what was new at its end.

A run compares the state of each job with the one at the end of the last run, so that a person who
looks in each morning is told once about each failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from batchgen.core.lifecycle import JobState
from batchgen.core.units import duration_text, local_date, seconds

if TYPE_CHECKING:
    from batchgen.core.budget import Budget
    from batchgen.core.summary import Summary

DOWNLOADED, FAILED, IN_DOUBT = JobState.DOWNLOADED, JobState.FAILED, JobState.IN_DOUBT
_WEEK_S = 6 * 86_400.0
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Changes(msgspec.Struct, kw_only=True):
    """Counts of what is new since the end of the last run: the keys of `new` in history.jsonl."""

    done: int = 0
    """Downloaded now and not then, including the healed."""
    failures: int = 0
    """Failed now and not then."""
    healed: int = 0
    """Those of `done` that were failed or in doubt then."""
    in_doubt: int = 0
    """In doubt now and not then."""
    waiting_for_review: int = 0
    """How many wait for a verdict now."""
    cost_usd: float = 0.0

    def count(self, then: JobState | None, now: JobState) -> None:
        """Count a job by its state at the end of the last run and its state now."""
        if then is now:
            return
        self.done += now is DOWNLOADED
        self.healed += now is DOWNLOADED and then in (FAILED, IN_DOUBT)
        self.failures += now is FAILED
        self.in_doubt += now is IN_DOUBT


class PastRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of history.jsonl. Readers ignore keys that they do not know."""

    begun: str
    """RFC 3339, as in the ledger."""
    ended: str
    exit_code: int
    reasons: tuple[str, ...] = ()
    """Empty only for exit code 0."""
    jobs: dict[str, int] = {}
    """By state, of the whole batch."""
    new: Changes = msgspec.field(default_factory=Changes)
    cost_usd: float = 0.0
    """Of the whole batch."""
    duration_s: dict[str, float | None] = {}
    """`p50` and `p95` of all jobs with an output."""
    outages: tuple[tuple[str, str], ...] = ()
    """When the API gave no answer, from and to."""
    sentence: str = ""
    """The sentence of the run about what is new."""

    def as_json(self) -> dict[str, object]:
        """Return the line with every key that the contract names."""
        line: dict[str, object] = msgspec.to_builtins(self)
        return {"reasons": [], "jobs": {}, "duration_s": {}, "cost_usd": 0.0, **line} | {
            "new": msgspec.structs.asdict(self.new)
        }


def durations(summary: Summary) -> dict[str, float | None]:
    """Return how long jobs took, in seconds from their submission; None if none has ended well."""
    shares = {"p50": 0.5, "p95": 0.95}
    found = {name: summary.duration_s(share) for name, share in shares.items()}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsText:
    """The sentence about what is new, for people."""

    changes: Changes
    summary: Summary
    budgets: Sequence[Budget] = ()
    now_s: float

    def __str__(self) -> str:
        parts = (", ".join(self._counts()) or "nothing new", *self._money(), self._durations())
        return "; ".join(filter(None, parts))

    def _counts(self) -> Iterator[str]:
        new = self.changes
        if new.done:
            yield f"{new.done:,} done"
        if new.failures:
            yield f"{new.failures:,} new failure{'' if new.failures == 1 else 's'}"
        if new.healed:
            yield f"{new.healed:,} healed"
        if doubts := self.summary.states[IN_DOUBT]:
            yield f"{doubts:,} in doubt{self._doubt_since()}"
        if new.waiting_for_review:
            verb = "waits" if new.waiting_for_review == 1 else "wait"
            yield f"{new.waiting_for_review:,} {verb} for review"

    def _doubt_since(self) -> str:
        since_s = seconds(self.summary.oldest_doubt)
        return "" if since_s is None else f" since {day_text(since_s, now_s=self.now_s)}"

    def _money(self) -> Iterator[str]:
        if self.budgets:
            for budget in self.budgets:
                yield f"${budget.committed_usd:,.2f} of ${budget.limit_usd:,.2f} {budget.name}"
        elif self.changes.cost_usd:
            yield f"${self.changes.cost_usd:,.2f}"

    def _durations(self) -> str:
        times = durations(self.summary)
        if not self.changes.done or None in times.values():
            return ""
        return ", ".join(f"{name} {duration_text(value or 0.0)}" for name, value in times.items())


def day_text(moment_s: float, *, now_s: float) -> str:
    """Return `today`, a weekday of the last days, or a date; in local time."""
    if local_date(moment_s) == local_date(now_s):
        return "today"
    if 0 <= now_s - moment_s < _WEEK_S:
        return _DAYS[datetime.fromtimestamp(moment_s).astimezone().weekday()]
    return local_date(moment_s)


def jobs_by_state(summary: Summary) -> Mapping[str, int]:
    """Return the number of jobs in each state, and of wrong rows."""
    return {state.value: summary.states[state] for state in JobState} | {"invalid": summary.invalid}
