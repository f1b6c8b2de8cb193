"""What became of many jobs: counts, cost, failures by cause. Summaries add with `+`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from batchgen.core.lifecycle import JobRecord, JobState


@dataclass(slots=True)
class Summary:
    """Totals over some jobs."""

    states: Counter[JobState] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Failures and doubts by kind and message."""
    cost_usd: float = 0.0
    """What the API reported, all attempts together."""
    files: int = 0
    file_bytes: int = 0
    oldest_uncollected: str | None = None
    """When the first of the jobs ended that are completed and not downloaded; RFC 3339."""

    def add(self, record: JobRecord | None) -> None:
        """Count one job; None is one that nothing is known of."""
        if record is None:
            self.states[JobState.PENDING] += 1
            return
        self.states[record.state] += 1
        self.cost_usd += record.total_cost_usd
        self.files += len(record.files)
        self.file_bytes += sum(file.bytes for file in record.files)
        if record.state is JobState.COMPLETED:
            self.oldest_uncollected = _earlier(self.oldest_uncollected, record.finished_at)
        if record.error is not None and record.state in (JobState.FAILED, JobState.IN_DOUBT):
            self.errors[record.error.kind, record.error.message] += 1

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            states=self.states + other.states,
            errors=self.errors + other.errors,
            cost_usd=self.cost_usd + other.cost_usd,
            files=self.files + other.files,
            file_bytes=self.file_bytes + other.file_bytes,
            oldest_uncollected=_earlier(self.oldest_uncollected, other.oldest_uncollected),
        )

    @property
    def jobs(self) -> int:
        """How many were counted."""
        return self.states.total()


def _earlier(first: str | None, second: str | None) -> str | None:
    """Moments of one form sort as text."""
    known = [moment for moment in (first, second) if moment]
    return min(known, default=None)


def summarise(records: Iterable[JobRecord | None]) -> Summary:
    """The summary of these records."""
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary
