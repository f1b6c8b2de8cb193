"""What to do next with a job, from its record alone; and what a whole batch would come to.

`disposition` is the one decision that the dry run prints and the runner acts on, so that the two
cannot differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from batchgen.core.events import ErrorKind
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a run may do."""

    max_attempts: int = 3
    """Accepted or doubtful POSTs per job in all."""
    resubmit_doubts: bool = False
    download: bool = True
    keep_changed: bool = False
    """Whether a row that was edited keeps what was made for it before."""


class Disposition(StrEnum):
    """What a run will do with a job, and why."""

    SUBMIT_NEW = "new"  #: Never submitted.
    SUBMIT_EDITED = "edited"  #: The row has changed since; the old request is collected.
    SUBMIT_AGAIN = "failed, tried again"  #: The API reported a failure; attempts are left.
    RETRY = "tried again on request"  #: A person allowed one more attempt.
    RESOLVE_BY_RESUBMIT = "in doubt, submitted again"  #: The user said so.
    COLLECT = "in flight"  #: Paid for: polled to its end before anything else.
    DOWNLOAD = "to download"  #: Succeeded; files are missing.
    RESTORE = "back to an earlier input"  #: What was made for it then is used again; free.
    DONE = "done"
    HELD = "in doubt"  #: Waits for a person.
    FAILED = "failed"  #: For good, until a person or an edit says otherwise.
    GIVEN_UP = "given up"  #: A person accepted how it ended.
    CANCELLED = "cancelled"  #: Not run again unless asked.
    NOT_KNOWN = "in a state that only a later version knows"  #: Left alone.


D = Disposition


class Records(Protocol):
    """What is known of every job, whoever knows it."""

    def get(self, job: str) -> JobRecord | None:
        """The record of a job; None where nothing was ever submitted for it."""
        ...

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        """The records that are in one of these states (none named: every record).

        In the order in which their jobs were first met. Cheap where few are meant.
        """
        ...

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """The record of an earlier attempt of this job with this input that had an output."""
        ...


SUBMISSIONS = frozenset(
    {D.SUBMIT_NEW, D.SUBMIT_EDITED, D.SUBMIT_AGAIN, D.RETRY, D.RESOLVE_BY_RESUBMIT}
)
"""What costs money."""

WORK_LEFT = SUBMISSIONS | {D.COLLECT, D.DOWNLOAD, D.RESTORE}
"""What a run still has to do something about."""

BADLY_ENDED = frozenset({D.HELD, D.FAILED, D.CANCELLED, D.NOT_KNOWN})
"""Ends that make the exit code 1."""


def disposition(
    record: JobRecord | None,
    policy: Policy,
    *,
    fingerprint: str | None,
    made_before: bool = False,
) -> Disposition:
    """What to do with the job that has this record.

    `fingerprint` is that of the row as it is now; None where the row is gone from the manifest,
    which leaves collecting and downloading. `made_before` says that an earlier attempt of this
    job had this very input and an output.
    """
    if record is None:
        return D.SUBMIT_NEW
    if record.state is JobState.UNKNOWN:
        return D.NOT_KNOWN
    if record.granted and fingerprint is not None:
        return D.RETRY
    match record.state:
        case JobState.IN_QUEUE | JobState.IN_PROGRESS:
            return D.COLLECT
        case JobState.SUBMITTING | JobState.IN_DOUBT:
            allowed = policy.resubmit_doubts and record.attempts < policy.max_attempts
            return D.RESOLVE_BY_RESUBMIT if allowed and fingerprint is not None else D.HELD
        case JobState.COMPLETED if policy.download:
            return D.DOWNLOAD
    differs = fingerprint is not None and record.fingerprint not in ("", fingerprint)
    if differs and not policy.keep_changed:
        return D.RESTORE if made_before else D.SUBMIT_EDITED
    return _of_unchanged(record, policy, has_row=fingerprint is not None)


def _of_unchanged(record: JobRecord, policy: Policy, *, has_row: bool) -> Disposition:
    """What to do with a job that is over, or back to pending, and whose row is as it was."""
    match record.state:
        case JobState.PENDING:
            return D.SUBMIT_NEW
        case JobState.COMPLETED | JobState.DOWNLOADED:
            return D.DONE
        case _ if record.given_up:
            return D.GIVEN_UP
        case JobState.CANCELLED:
            return D.CANCELLED
        case _:
            again = has_row and may_generate_again(record, policy)
            return D.SUBMIT_AGAIN if again else D.FAILED


def disposition_of(job: Job, records: Records, policy: Policy) -> Disposition:
    """What to do with a row, as things stand."""
    record = records.get(job.id)
    if record is None:
        return D.SUBMIT_NEW
    fingerprint = job.fingerprint
    made_before = records.made_before(job.id, fingerprint) is not None
    return disposition(record, policy, fingerprint=fingerprint, made_before=made_before)


def may_generate_again(record: JobRecord, policy: Policy) -> bool:
    """Whether a failed job may be paid for once more without a person.

    Only a failure of the generation itself that reported no cost: refusals repeat themselves,
    and an expired request or a success without output may have been paid for.
    """
    return (
        record.state is JobState.FAILED
        and record.error is not None
        and record.error.kind == ErrorKind.GENERATION
        and not record.cost_usd
        and record.attempts < policy.max_attempts
    )


@dataclass(slots=True)
class Plan:
    """What a run over this batch would do, counted."""

    counts: Counter[Disposition] = field(default_factory=Counter)
    removed: Counter[Disposition] = field(default_factory=Counter)
    """Jobs of the ledger that no row of the manifest claims any more."""
    cost_usd: defaultdict[Disposition, float] = field(default_factory=lambda: defaultdict(float))
    """What the submissions are expected to cost, as far as prices are known."""
    unpriced: int = 0
    """Submissions whose price nobody knows."""

    @property
    def jobs(self) -> int:
        """Rows of the manifest, expanded."""
        return self.counts.total()

    @property
    def submissions(self) -> int:
        """How many POSTs it takes at least."""
        return sum(self.counts[kind] for kind in SUBMISSIONS)

    @property
    def work_left(self) -> int:
        """Jobs that a run still has to do something about, with or without a row."""
        return sum(self.counts[kind] + self.removed[kind] for kind in WORK_LEFT)

    @property
    def total_cost_usd(self) -> float:
        """Expected for all submissions with a known price."""
        return sum(self.cost_usd.values())

    def add(self, kind: Disposition, price_usd: float | None = None) -> None:
        """Count one job; `price_usd` of a submission, None where it is not known."""
        self.counts[kind] += 1
        if kind not in SUBMISSIONS:
            return
        if price_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd[kind] += price_usd

    def sentences(self) -> Iterable[str]:
        """One phrase for each group that is not empty, in the order of the enum."""
        for kind in Disposition:
            if count := self.counts[kind]:
                yield f"{count:,} {kind.value}"
        if gone := self.removed.total():
            yield f"{gone:,} no longer in the manifest"
