"""The decision what to do next with a job, and the plan for a batch, which counts these decisions.

The dry run prints what `disposition` decides and the runner acts on it, so the two cannot differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from batchgen.core.events import ErrorKind
from batchgen.core.jobs import Job, Wait
from batchgen.core.lifecycle import JobRecord, JobState, Records
from batchgen.core.reviews import Verdict, asks_for_redo, is_unwanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of a run that decide what it does with a job."""

    max_attempts: int = 3
    """POSTs of one job and input that were accepted or are in doubt, over all runs."""
    resubmit_doubts: bool = False
    download: bool = True
    keep_changed: bool = False
    """Keep what was made for an edited row before, instead of submitting it."""


class Disposition(StrEnum):
    """The decision about a job; the values are printed in plans."""

    SUBMIT_NEW = "new"  #: Never submitted.
    SUBMIT_EDITED = "edited"  #: The row has changed, and its old request has ended.
    SUBMIT_AGAIN = "failed, tried again"  #: The API reported a failure; attempts are left.
    RETRY = "tried again on request"  #: The user allowed one more attempt.
    REDO = "redo"  #: The user wants another take of the same input.
    RESOLVE_BY_RESUBMIT = "in doubt, submitted again"  #: The policy allows it.
    COLLECT = "in flight"  #: Paid for: it is polled to its end before anything else.
    DOWNLOAD = "to download"  #: Succeeded; files are missing.
    WAITS = "edited, waits for the old output"  #: That is paid for, and this run downloads nothing.
    RESTORE = "back to an earlier input"  #: The output made for it is used again, at no cost.
    DONE = "done"
    HELD = "in doubt"  #: Waits for a decision of the user.
    FAILED = "failed"  #: Not submitted again unless the user asks or the row changes.
    GIVEN_UP = "given up"  #: The user accepted how it ended.
    REJECTED = "rejected"  #: The user does not want this output, so it is not generated again.
    CANCELLED = "cancelled"  #: Not submitted again unless the user asks.
    DEFECT = "left alone after a defect of batchgen"  #: The others continue.
    NOT_KNOWN = "in a state that only a later version knows"  #: Left alone.
    WAITS_FOR_STEP = "to follow another step"  #: The job before it has no output yet.
    WAITS_FOR_REVIEW = "waiting for your review"  #: Of the output that it is made from.
    WAITS_FOR_FAILED = "waiting for a failed job"  #: The job before it has no output.


D = Disposition


SUBMISSIONS = frozenset(
    {D.SUBMIT_NEW, D.SUBMIT_EDITED, D.SUBMIT_AGAIN, D.RETRY, D.REDO, D.RESOLVE_BY_RESUBMIT}
)
"""Decisions that cost money."""

TO_COLLECT = frozenset({D.COLLECT, D.DOWNLOAD})
"""Paid for, and collected by every run, whatever it selects."""

TO_FOLLOW = frozenset({D.WAITS_FOR_STEP, D.WAITS_FOR_REVIEW})
"""Jobs that have a price although they cannot be submitted yet."""

WORK_LEFT = SUBMISSIONS | {D.COLLECT, D.DOWNLOAD, D.WAITS, D.RESTORE, D.DEFECT}
"""Decisions for which a run has something to do."""

BADLY_ENDED = frozenset({D.HELD, D.FAILED, D.CANCELLED, D.NOT_KNOWN})
"""Ends that lead to exit code 1."""


def disposition(
    record: JobRecord | None,
    policy: Policy,
    *,
    fingerprint: str | None,
    made_before: bool = False,
    verdict: Verdict | None = None,
) -> Disposition:
    """Decide what to do with the job that has this record.

    `fingerprint` is that of the row as it is now. None: the manifest has no such row any more, so
    the job can only be collected and downloaded. `made_before` says that an earlier attempt of
    this job with exactly this input has an output. `verdict` is the last one on the present take.
    """
    if record is None:
        return D.SUBMIT_NEW
    has_row = fingerprint is not None
    is_same = record.fingerprint in ("", fingerprint)
    differs = has_row and not is_same and not policy.keep_changed
    is_open = _of_open(record, policy, differs=differs)
    if is_open is not None:
        return is_open
    if record.granted and has_row and record.state in _GRANTABLE:
        return D.RESTORE if made_before else D.RETRY
    if not differs and is_unwanted(record, verdict):
        return D.REJECTED
    if record.state in (JobState.SUBMITTING, JobState.IN_DOUBT):
        allowed = policy.resubmit_doubts and record.attempts < policy.max_attempts
        if not (allowed and has_row):
            return D.HELD
        return D.RESTORE if made_before else D.RESOLVE_BY_RESUBMIT
    if differs:
        return D.RESTORE if made_before else D.SUBMIT_EDITED
    if is_same and asks_for_redo(record, verdict):
        return D.REDO
    return _of_unchanged(record, policy, has_row=has_row)


_GRANTABLE = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.IN_DOUBT})


def _of_open(record: JobRecord, policy: Policy, *, differs: bool) -> Disposition | None:
    """Decide about a job that is paid for and not collected yet; None: it is not such a job."""
    match record.state:
        case JobState.UNKNOWN:
            return D.NOT_KNOWN
        case JobState.IN_QUEUE | JobState.IN_PROGRESS:
            return D.COLLECT
        case JobState.COMPLETED if not record.given_up:
            if policy.download:
                return D.DOWNLOAD
            return D.WAITS if differs else D.DONE
        case _:
            return None


def _of_unchanged(record: JobRecord, policy: Policy, *, has_row: bool) -> Disposition:
    """Decide about a job that has ended, or is pending again, and whose row is unchanged."""
    match record.state:
        case JobState.PENDING:
            return D.SUBMIT_NEW if has_row else D.GIVEN_UP  # nothing was accepted
        case JobState.DOWNLOADED:
            return D.DONE
        case _ if record.given_up:
            return D.GIVEN_UP
        case JobState.CANCELLED:
            return D.CANCELLED
        case _:
            again = has_row and may_generate_again(record, policy)
            return D.SUBMIT_AGAIN if again else D.FAILED


def disposition_of(job: Job, records: Records, policy: Policy) -> Disposition:
    """Decide what to do with the job of a row, as the records are now."""
    if job.wait is not None:
        return _of_waiting(records.get(job.id), job.wait, policy)
    fingerprint = job.fingerprint
    reviewed = records.has_verdict(job.id)
    if records.is_downloaded(job.id, fingerprint) and not reviewed:
        return D.DONE
    record = records.get(job.id)
    if record is None:
        return D.SUBMIT_NEW
    made_before = records.made_before(job.id, fingerprint) is not None
    verdict = records.verdict(record) if reviewed else None
    return disposition(
        record, policy, fingerprint=fingerprint, made_before=made_before, verdict=verdict
    )


_OF_WAIT = {
    Wait.STEP: D.WAITS_FOR_STEP,
    Wait.REVIEW: D.WAITS_FOR_REVIEW,
    Wait.LATER_REVIEW: D.WAITS_FOR_REVIEW,
    Wait.FAILED: D.WAITS_FOR_FAILED,
    Wait.UNWANTED: D.REJECTED,
}


def _of_waiting(record: JobRecord | None, wait: Wait, policy: Policy) -> Disposition:
    """Decide about a job of a step that cannot be submitted now, whatever its record says.

    What was submitted for it before is collected, and what is in doubt stays so.
    """
    is_open = None if record is None else _of_open(record, policy, differs=False)
    if record is None or is_open is D.DONE:
        return _OF_WAIT[wait]
    if is_open is not None:
        return is_open
    if record.state in (JobState.SUBMITTING, JobState.IN_DOUBT):
        return D.HELD
    is_there = record.state is JobState.DOWNLOADED
    return D.DONE if wait is Wait.UNWANTED and is_there else _OF_WAIT[wait]


def may_generate_again(record: JobRecord, policy: Policy) -> bool:
    """Tell whether a failed job may be submitted again without a decision of the user.

    Only if the generation itself failed and no cost was reported. A refusal of the input or of its
    content would be repeated; an expired request or a success without output may have been charged.
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
    """Jobs and expected costs by what a run does with them."""

    counts: Counter[Disposition] = field(default_factory=Counter)
    removed: Counter[Disposition] = field(default_factory=Counter)
    """Jobs of the ledger that have no row in the manifest any more."""
    not_selected: Counter[Disposition] = field(default_factory=Counter)
    """Jobs to collect whose row the run does not select."""
    cost_usd: defaultdict[Disposition, float] = field(default_factory=lambda: defaultdict(float))
    """The expected cost of what is or may be submitted and whose price is known."""
    unpriced: int = 0
    """Submissions without a known price."""
    fixed_seeds: int = 0
    """Jobs to redo whose row fixes a seed."""

    @property
    def jobs(self) -> int:
        """Jobs that have a row."""
        return self.counts.total()

    @property
    def submissions(self) -> int:
        """The least number of POSTs."""
        return sum(self.counts[kind] for kind in SUBMISSIONS)

    @property
    def work_left(self) -> int:
        """Jobs that a run still has to do something about, with or without a row."""
        counters = (self.counts, self.removed, self.not_selected)
        return sum(counter[kind] for counter in counters for kind in WORK_LEFT)

    @property
    def to_follow(self) -> int:
        """Jobs that are submitted in the same run, once the job before them has an output."""
        return self.counts[D.WAITS_FOR_STEP]

    @property
    def ended_badly(self) -> int:
        """Jobs about which nothing more is done although they have no output."""
        return sum(self.counts[kind] for kind in BADLY_ENDED)

    @property
    def total_cost_usd(self) -> float:
        """The expected cost of all submissions with a known price, and of what follows them.

        What waits for a review is not among it: the user has not asked for it yet.
        """
        waiting_usd = self.cost_usd.get(D.WAITS_FOR_REVIEW, 0.0)
        return sum(self.cost_usd.values()) - waiting_usd

    def add(self, kind: Disposition, price_usd: float | None = None) -> None:
        """Count one job; `price_usd` is that of a submission, None if it is not known."""
        self.counts[kind] += 1
        if kind not in SUBMISSIONS | TO_FOLLOW:
            return
        if price_usd is None:
            self.unpriced += kind is not D.WAITS_FOR_REVIEW
        else:
            self.cost_usd[kind] += price_usd

    def sentences(self) -> Iterable[str]:
        """Return a phrase for each decision that was taken, in the order of the enum."""
        for kind in Disposition:
            if count := self.counts[kind]:
                yield f"{count:,} {kind.value}"
        if others := self.not_selected.total():
            yield f"{others:,} of other rows to collect"
        if gone := self.removed.total():
            yield f"{gone:,} no longer in the manifest"
