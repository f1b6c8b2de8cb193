"""What became of many jobs: counts, cost, failures by cause. Summaries add with `+`.

How long what is left may take, from how fast jobs ended lately. In numbers only.

Where the jobs of a batch stand, kept up line by line: a new line costs the same in a batch of
any size.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.stop_reasons import SOME_ENDED_BADLY, STOPPED_EARLY
from batchgen.core.units import seconds

LATELY_JOBS = 100
LATELY_S = 600.0
"""A batch whose last job ended longer ago is not running, and has no ETA."""


def eta_s(ended_at_s: Iterable[float], left: int, *, now_s: float) -> float | None:
    """Seconds until `left` more jobs have ended; None where nothing can be said.

    `ended_at_s` are the moments, in seconds since 1970, at which jobs ended so far.
    """
    last = heapq.nlargest(LATELY_JOBS, ended_at_s)
    if left <= 0 or len(last) < 2 or now_s - last[0] > LATELY_S:
        return None
    return left * (max(now_s, last[0]) - last[-1]) / len(last)


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


_LEFT = (JobState.PENDING, *IN_FLIGHT, JobState.COMPLETED)
"""What another run would have to do something about; COMPLETED still has to be downloaded."""
_ENDED_BADLY = (
    JobState.FAILED, JobState.CANCELLED, JobState.IN_DOUBT, JobState.SUBMITTING, JobState.UNKNOWN,
)  # fmt: skip
"""Where no run is at work, a submission without an answer is a doubt."""
_TO_COME = (JobState.PENDING, JobState.SUBMITTING, *IN_FLIGHT)


class _Share(NamedTuple):
    """What one job adds to the totals."""

    state: JobState
    cost_usd: float = 0.0
    files: int = 0
    file_bytes: int = 0
    error: tuple[str, str] | None = None
    given_up: bool = False
    is_finished: bool = False


_NOTHING_KNOWN = _Share(JobState.PENDING)


class LiveSummary:
    """The totals over some jobs, and what each of them adds."""

    def __init__(self, jobs: Iterable[str] | None) -> None:
        """`jobs`: those of the manifest, which alone count; None: all that the ledger names."""
        self._summary = Summary()
        self._shares: dict[str, _Share] = {}
        self._only = jobs is not None
        self._given_up = 0
        self._finished_at_s: list[float] = []
        self._uncollected: dict[str, str] = {}
        for job in jobs or ():
            self._put(job, _NOTHING_KNOWN)

    @property
    def summary(self) -> Summary:
        """A copy of the totals."""
        waiting = Summary(oldest_uncollected=min(self._uncollected.values(), default=None))
        return self._summary + waiting

    @property
    def left(self) -> int:
        """Jobs that a run still has to do something about."""
        return sum(self._summary.states[state] for state in _LEFT)

    @property
    def exit_code(self) -> int:
        """What a run that ended like this would say."""
        if self.left:
            return STOPPED_EARLY
        badly = sum(self._summary.states[state] for state in _ENDED_BADLY)
        return SOME_ENDED_BADLY if badly > self._given_up else 0

    def eta_s(self, now_s: float) -> float | None:
        """Seconds until the rest has ended, at the pace of the last jobs; None: nobody knows."""
        to_come = sum(self._summary.states[state] for state in _TO_COME)
        return eta_s(self._finished_at_s, to_come, now_s=now_s)

    def take(self, record: JobRecord) -> None:
        """Count the next line of the ledger."""
        before = self._shares.get(record.job)
        if before is None and self._only:
            return  # no row of the manifest
        if record.adopted_by is not None:
            self._remove(record.job)
            return
        share = _share(record)
        if share.is_finished and not (before and before.is_finished):
            self._note_finished(record)
        self._put(record.job, share)
        if record.state is JobState.COMPLETED and record.finished_at:
            self._uncollected[record.job] = record.finished_at

    def _note_finished(self, record: JobRecord) -> None:
        moment_s = seconds(record.finished_at)
        if moment_s is not None:
            keep = heapq.heappush if len(self._finished_at_s) < LATELY_JOBS else heapq.heappushpop
            keep(self._finished_at_s, moment_s)

    def _put(self, job: str, share: _Share) -> None:
        self._remove(job)
        self._shares[job] = share
        self._count(share, 1)

    def _remove(self, job: str) -> None:
        before = self._shares.pop(job, None)
        if before is not None:
            self._count(before, -1)
            self._uncollected.pop(job, None)

    def _count(self, share: _Share, sign: int) -> None:
        summary = self._summary
        summary.states[share.state] += sign
        summary.cost_usd += sign * share.cost_usd
        summary.files += sign * share.files
        summary.file_bytes += sign * share.file_bytes
        self._given_up += sign * share.given_up
        if share.error is not None:
            summary.errors[share.error] += sign


def _share(record: JobRecord) -> _Share:
    has_error = record.error is not None and record.state in (JobState.FAILED, JobState.IN_DOUBT)
    return _Share(
        state=record.state,
        cost_usd=record.total_cost_usd,
        files=len(record.files),
        file_bytes=sum(file.bytes for file in record.files),
        error=(record.error.kind, record.error.message) if has_error and record.error else None,
        given_up=record.given_up,
        is_finished=record.finished_at is not None,
    )
