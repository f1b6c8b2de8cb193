"""Totals over many jobs, counted once or kept up to date line by line."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from batchgen.core.exit_codes import exit_code
from batchgen.core.jobs import row_names
from batchgen.core.lifecycle import CRASHED, IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Disposition, Plan, Policy, disposition
from batchgen.core.polling.durations import past_duration_s
from batchgen.core.reviews import Verdict
from batchgen.core.time_left import RECENT_JOBS, time_left_s
from batchgen.core.units import seconds


class JobShare(NamedTuple):
    """The contribution of one job to the totals."""

    state: JobState
    cost_usd: float = 0.0
    files: int = 0
    file_bytes: int = 0
    error: tuple[str, str] | None = None
    """Kind and message of a failure or a doubt."""
    finished_at: str | None = None
    disposition: Disposition = Disposition.SUBMIT_NEW
    """The decision of a run about the job; set in a live summary only."""

    @classmethod
    def of(cls, record: JobRecord | None) -> JobShare:
        """Return the share of the job with this record; None: a job that has no record."""
        if record is None:
            return NO_RECORD
        failed = record.state in (JobState.FAILED, JobState.IN_DOUBT)
        return cls(
            state=record.state,
            cost_usd=record.total_cost_usd,
            files=len(record.files),
            file_bytes=sum(file.bytes for file in record.files),
            error=(record.error.kind, record.error.message) if failed and record.error else None,
            finished_at=record.finished_at,
        )

    @property
    def uncollected_since(self) -> str | None:
        """The time at which the job ended, if it is completed and not downloaded."""
        return self.finished_at if self.state is JobState.COMPLETED else None


NO_RECORD = JobShare(JobState.PENDING)


@dataclass(slots=True)
class Summary:
    """Totals over some jobs."""

    states: Counter[JobState] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Failures and doubts by kind and message."""
    cost_usd: float = 0.0
    """The costs that the API reported, for all attempts together."""
    files: int = 0
    file_bytes: int = 0
    waiting_for_review: Counter[str] = field(default_factory=Counter)
    """Jobs that wait for the user's review, by step."""
    not_due: int = 0
    """Jobs of later steps that no run submits before the user has decided something."""
    invalid: int = 0
    """Wrong rows, which are not jobs but count among them."""
    oldest_uncollected: str | None = None
    """The end of the job that has waited longest for its download; RFC 3339."""
    oldest_doubt: str | None = None
    """The submission of the job that is in doubt for the longest time; RFC 3339."""
    durations_s: array[float] = field(default_factory=lambda: array("d"))
    """From submission to success, of each job that has an output; only `count` adds to them."""

    def count(self, record: JobRecord | None) -> None:
        """Count one job by its record; None: a job that has none."""
        share = JobShare.of(record)
        self.add(share)
        self.oldest_uncollected = _earlier(self.oldest_uncollected, share.uncollected_since)
        if record is None:
            return
        if record.state is JobState.IN_DOUBT:
            self.oldest_doubt = _earlier(self.oldest_doubt, record.submitted_at)
        if (duration_s := past_duration_s(record)) is not None:
            self.durations_s.append(duration_s)

    def count_row(self, record: JobRecord | None, *, is_invalid: bool) -> None:
        """Count one row of the results: a job, or a wrong row."""
        if is_invalid:
            self.invalid += 1
        else:
            self.count(record)

    def add(self, share: JobShare, sign: int = 1) -> None:
        """Count one job, or with `sign` -1 take back what it added.

        `oldest_uncollected` is a minimum and cannot be taken back, so it is the caller's.
        """
        self.states[share.state] += sign
        self.cost_usd += sign * share.cost_usd
        self.files += sign * share.files
        self.file_bytes += sign * share.file_bytes
        if share.error is not None:
            self.errors[share.error] += sign

    def doubting_crashes(self) -> Summary:
        """Return the summary if no run waits for the answers to submissions any more."""
        crashed = self.states[JobState.SUBMITTING]
        doubts = {JobState.SUBMITTING: -crashed, JobState.IN_DOUBT: crashed}
        states = +Counter({key: self.states[key] + doubts.get(key, 0) for key in JobState})
        errors = self.errors + Counter({(CRASHED.kind, CRASHED.message): crashed})
        return replace(self, states=states, errors=errors)

    @property
    def jobs(self) -> int:
        """The number of jobs that were counted, and of wrong rows."""
        return self.states.total() + self.invalid

    def duration_s(self, share: float) -> float | None:
        """Return the time within which this share of the jobs succeeded (0.5: the median)."""
        # Kept in order, because to sort them again is quick then.
        ordered = self.durations_s = array("d", sorted(self.durations_s))
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended, submitted or not, and that a run can go on with."""
        states = (JobState.PENDING, JobState.SUBMITTING, *IN_FLIGHT)
        return sum(self.states[state] for state in states) - self.not_due


def _earlier(oldest: str | None, moment: str | None) -> str | None:
    """Return the earlier of two moments of one form, which sort as text."""
    return moment if moment and (oldest is None or moment < oldest) else oldest


class LiveSummary:
    """Totals that follow a ledger: each line replaces the share of its job by the new one.

    So a line costs the same in a batch of any size.
    """

    def __init__(
        self,
        rows: Mapping[str, str] | None,
        policy: Policy | None = None,
        *,
        unselected: Iterable[str] = (),
        later: Iterable[str] = (),
        invalid: int = 0,
        verdict: Callable[[JobRecord], Verdict | None] = lambda _: None,
    ) -> None:
        """Begin with the rows of the manifest: job to fingerprint, and how many are invalid.

        The totals are those of all rows and of every job of the ledger; a run does nothing about
        the `unselected` ones. `later` are the jobs of later steps; what they are made from is not
        looked at, so their records count as they are. Without a manifest (None) each job of the
        ledger counts as if its row were still as it was submitted.
        """
        self._rows = rows
        self._verdict = verdict
        self._policy = policy or Policy()
        self._invalid = invalid
        self._summary = Summary(invalid=invalid)
        self._plan = Plan()
        self._shares: dict[str, JobShare] = {}
        self._finished_at_s: deque[float] = deque(maxlen=RECENT_JOBS)
        self._uncollected: dict[str, str] = {}
        self._first = dict.fromkeys(unselected, NO_RECORD._replace(disposition=Disposition.DONE))
        self._first.update(dict.fromkeys(rows or (), NO_RECORD))
        follows = NO_RECORD._replace(disposition=Disposition.WAITS_FOR_STEP)
        self._first.update(dict.fromkeys(later, follows))
        for job, share in self._first.items():
            self._put(job, share)

    @property
    def summary(self) -> Summary:
        """A copy of the totals."""
        return replace(
            self._summary,
            states=+self._summary.states,
            errors=+self._summary.errors,
            oldest_uncollected=min(self._uncollected.values(), default=None),
        )

    @property
    def left(self) -> int:
        """Jobs that a run still has to do something about."""
        return self._plan.work_left

    @property
    def exit_code(self) -> int:
        """The exit code of a run that went to its end and left the jobs like this."""
        return exit_code((), self._plan, invalid=self._invalid)

    def time_left_s(self, now_s: float) -> float | None:
        """Return the seconds until the rest has ended, or None if nothing can be said."""
        return time_left_s(self._finished_at_s, self._summary.unfinished, now_s=now_s)

    def take(self, record: JobRecord) -> None:
        """Count the next line of the ledger."""
        before = self._shares.get(record.job, NO_RECORD)
        self._put(record.job, self._share(record))
        if before.finished_at is None:
            moment_s = seconds(record.finished_at)
            if moment_s is not None:
                self._finished_at_s.append(moment_s)

    def _has_row(self, job: str) -> bool:
        if self._rows is None or job in self._rows:
            return True
        return any(row in self._rows for row in row_names(job))

    def _share(self, record: JobRecord) -> JobShare | None:
        if record.adopted_by is not None:  # another job took it over, so its row is new again
            return self._first.get(record.job)
        fingerprint = self._fingerprint(record)
        verdict = self._verdict(record)
        kind = disposition(record, self._policy, fingerprint=fingerprint, verdict=verdict)
        return JobShare.of(record)._replace(disposition=kind)

    def _fingerprint(self, record: JobRecord) -> str | None:
        """Return that of the row as it is now; of a job of a later step that of its record."""
        if self._rows is None:
            return record.fingerprint
        is_later = bool(record.step) and record.job not in self._rows and self._has_row(record.job)
        return record.fingerprint if is_later else self._rows.get(record.job)

    def _put(self, job: str, share: JobShare | None) -> None:
        before = self._shares.pop(job, None)
        if before is not None:
            self._add(before, -1, has_row=self._has_row(job))
            self._uncollected.pop(job, None)
        if share is not None:
            self._shares[job] = share
            self._add(share, 1, has_row=self._has_row(job))
            if share.uncollected_since is not None:
                self._uncollected[job] = share.uncollected_since

    def _add(self, share: JobShare, sign: int, *, has_row: bool) -> None:
        counts = self._plan.counts if has_row else self._plan.removed
        counts[share.disposition] += sign
        self._summary.add(share, sign)
