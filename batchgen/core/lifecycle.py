"""The lifecycle of a job: a table of transitions, and the fold of an event into a record.

- Which state follows which is decided in `TRANSITIONS` and nowhere else. The money rules are rows
  of it: only `Intended` leads to a POST, so a lost answer, a failed download or a completed job
  never does. `apply` lets it leave a state that was paid for only if the input has changed, or for
  the next take of a job that is on disk (`core/reviews.py` says when the user has asked for one).
- An event that the table does not allow is a defect of this program (`IllegalTransition`). It is
  raised, never ignored.
- A record says everything that is known of the present attempt of a job. So the last line of a job
  in the ledger is its record, and replay needs no arithmetic.

A test compares the drawing in ARCHITECTURE.md with the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from batchgen.core.charges import Charge, complete, total_usd, without
from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Attached,
    Cancelled,
    ErrorKind,
    Event,
    Failed,
    FilesLost,
    GivenUp,
    Granted,
    Intended,
    JobError,
    MadeFrom,
    NotAccepted,
    OutputFile,
    Refused,
    Saved,
    Started,
    Succeeded,
)

if TYPE_CHECKING:
    from batchgen.core.reviews import Verdict


class JobState(StrEnum):
    """The state of a job; the values are those of the ledger."""

    PENDING = "pending"  #: Nothing was accepted: without a record, or put back.
    SUBMITTING = "submitting"  #: The intent is on disk, the POST may have been sent.
    IN_QUEUE = "in_queue"  #: Accepted; the API has given it a request_id.
    IN_PROGRESS = "in_progress"  #: Running remotely; can no longer be cancelled.
    COMPLETED = "completed"  #: Succeeded; not every output is on disk.
    DOWNLOADED = "downloaded"  #: Every output is on disk.
    FAILED = "failed"  #: Refused, or ended without a usable output.
    CANCELLED = "cancelled"  #: Cancelled while queued.
    IN_DOUBT = "in_doubt"  #: A POST was sent; it may have been accepted or not.
    UNKNOWN = "unknown"  #: Written by a later version; shown and left alone.

    @classmethod
    def _missing_(cls, value: object) -> JobState | None:
        return cls.UNKNOWN if isinstance(value, str) else None


S = JobState

TRANSITIONS: dict[JobState, dict[type[Event], JobState]] = {
    S.PENDING: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.FAILED,
        Granted: S.PENDING,
    },
    S.SUBMITTING: {
        Accepted: S.IN_QUEUE,
        NotAccepted: S.PENDING,
        Refused: S.FAILED,
        AnswerLost: S.IN_DOUBT,
    },
    S.IN_QUEUE: {
        Started: S.IN_PROGRESS,
        Succeeded: S.COMPLETED,
        Failed: S.FAILED,
        Cancelled: S.CANCELLED,
    },
    S.IN_PROGRESS: {
        Succeeded: S.COMPLETED,
        Failed: S.FAILED,
        Cancelled: S.CANCELLED,
    },
    S.COMPLETED: {
        Saved: S.DOWNLOADED,
        Failed: S.FAILED,
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.COMPLETED,
    },
    S.DOWNLOADED: {Intended: S.SUBMITTING, FilesLost: S.COMPLETED},
    S.FAILED: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.FAILED,
        Granted: S.FAILED,
    },
    S.CANCELLED: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.CANCELLED,
        Granted: S.CANCELLED,
    },
    S.IN_DOUBT: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.FAILED,
        Granted: S.IN_DOUBT,
    },
    S.UNKNOWN: {},
}

IN_FLIGHT = frozenset({S.IN_QUEUE, S.IN_PROGRESS})
"""Accepted and not ended: these jobs occupy slots and are polled."""

PAID_FOR = frozenset({S.COMPLETED, S.DOWNLOADED})
"""An output exists for this input: to submit it again would be to pay twice."""


NOT_CHARGED = frozenset({ErrorKind.REFUSED, ErrorKind.NOT_ACCEPTED, ErrorKind.INPUT_GONE})
"""Errors of a POST after which it is certain that nothing was accepted."""


class IllegalTransition(Exception):
    """An event in a state that has no row for it: a defect of this program."""


REDONE = frozenset({S.DOWNLOADED, S.FAILED, S.CANCELLED})
"""The states out of which another take may be submitted, if the user asks for it. What is in doubt
waits for its own decision, and what is not on disk yet is fetched first."""


# Other keys than those of a record: what is left of a damaged line is read by its keys.
_TAKE_KEYS = {
    "take": "n", "request_id": "request", "outputs": "urls", "submitted_at": "at",
    "cost_usd": "usd",
}  # fmt: skip


class Take(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, rename=_TAKE_KEYS):
    """One output that was requested for a job before the present one, of the same input."""

    take: int
    ended: str
    """The state in which it ended."""
    request_id: str | None = None
    submitted_at: str | None = None
    outputs: tuple[str, ...] = ()
    files: tuple[OutputFile, ...] = ()
    cost_usd: float | None = None


class JobRecord(Struct, frozen=True, kw_only=True, gc=False):
    """Everything known of one job after its last event; a line of the ledger is one record."""

    ts: str
    """UTC, RFC 3339 with milliseconds and `Z`."""
    job: str
    state: JobState
    attempt: int = 1
    """Number of this POST, from 1, among those of this take that were accepted or are in doubt."""
    take: int = 1
    """Number of the output that was requested, from 1, among those of this input."""
    takes: tuple[Take, ...] = ()
    """The earlier takes of this input."""
    request_id: str | None = None
    outputs: tuple[str, ...] = ()
    model: str | None = None
    """The model that was submitted to; None in records of earlier versions."""
    fingerprint: str = ""
    """Digest of the model and input that were submitted; the row has another after an edit."""
    submitted_at: str | None = None
    """The time at which the intent of this attempt was recorded."""
    finished_at: str | None = None
    """The time at which this program learned that the job had ended."""
    cost_usd: float | None = None
    """The cost that the API reported for this attempt."""
    price_usd: float | None = None
    """The price that was reserved for this attempt."""
    earlier_price_usd: float = 0.0
    """The reserved prices of earlier attempts that reported no cost but may have been charged."""
    earlier_cost_usd: float = 0.0
    """The reported costs of earlier attempts of this job, with any input."""
    charges: tuple[Charge, ...] = ()
    """What these two sums consist of, if an attempt came before this one."""
    by: dict[str, str] = {}
    """The values that the row had, at the submission, in columns with budgets."""
    step: str = ""
    """The step that it belongs to; empty if the manifest had no steps."""
    made_from: tuple[MadeFrom, ...] = ()
    """The outputs of earlier steps that this attempt is made from."""
    files: tuple[OutputFile, ...] = ()
    error: JobError | None = None
    given_up: bool = False
    """The user accepts that it ended like this."""
    granted: bool = False
    """The user allows one more attempt."""
    adopted_by: str | None = None
    """The job that took over this record; this name is then free again."""

    @property
    def has_output(self) -> bool:
        """Tell whether this input has an output, of this take or of an earlier one."""
        return self.state in PAID_FOR or self.good_take is not None

    @property
    def good_take(self) -> Take | None:
        """The last earlier take that is on disk, if any."""
        return next((one for one in reversed(self.takes) if one.files), None)

    @property
    def present_take(self) -> Take:
        """This take as it is now."""
        return Take(
            take=self.take,
            ended=self.state.value,
            request_id=self.request_id,
            submitted_at=self.submitted_at,
            outputs=self.outputs,
            files=self.files,
            cost_usd=self.cost_usd,
        )

    @property
    def attempts(self) -> int:
        """The POSTs so far that were accepted or are in doubt; one proven not accepted is none."""
        return self.attempt - 1 if self.state is S.PENDING else self.attempt

    @property
    def total_cost_usd(self) -> float:
        """The costs that the API reported for all attempts together."""
        return self.earlier_cost_usd + (self.cost_usd or 0.0)

    @property
    def open_price_usd(self) -> float:
        """The price still reserved for this attempt.

        Nothing once its cost was reported, or if it is certain that nothing was accepted.
        """
        turned_away = self.error is not None and self.error.kind in NOT_CHARGED
        settled = self.cost_usd is not None or self.state is S.PENDING or turned_away
        return 0.0 if settled else self.price_usd or 0.0

    @property
    def present_charge(self) -> Charge:
        """The charge of this attempt."""
        known = self.cost_usd is not None
        return Charge(
            at=self.submitted_at,
            usd=self.cost_usd if self.cost_usd is not None else self.open_price_usd,
            reported=known,
            model=self.model,
            request_id=self.request_id,
            fingerprint=self.fingerprint,
            by=self.by,
        )

    @property
    def earlier_charges(self) -> tuple[Charge, ...]:
        """The charges of earlier attempts; those of an older version share one moment."""
        return complete(
            self.charges,
            cost_usd=self.earlier_cost_usd,
            price_usd=self.earlier_price_usd,
            at=self.submitted_at,
        )

    @property
    def all_charges(self) -> tuple[Charge, ...]:
        """The charges of every attempt."""
        present = self.present_charge
        return (*self.earlier_charges, *((present,) if present.usd or present.request_id else ()))


class Records(Protocol):
    """The records of all jobs."""

    def get(self, job: str) -> JobRecord | None:
        """Return the record of a job; None if nothing was ever submitted for it."""
        ...

    def jobs(self) -> Iterable[str]:
        """Return the jobs on record, in the order of their first records. Reads no record."""
        ...

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        """Return the records in one of these states (none named: all), by their first records.

        Cheap if there are few of them.
        """
        ...

    def is_downloaded(self, job: str, fingerprint: str) -> bool:
        """Tell whether the output of this very input is on disk. Cheap: no record is read."""
        ...

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """Return the last record with this earlier input, if that has an output.

        It may be that of a later take, which has failed. None if this is the present input: then
        the present record says what there is.
        """
        ...

    def verdict(self, record: JobRecord) -> Verdict | None:
        """Return the last verdict on the take of this record, as far as it is known here."""
        ...

    def verdict_on(self, job: str, take: Take) -> Verdict | None:
        """Return the last verdict on an earlier take of a job."""
        ...

    def has_verdict(self, job: str) -> bool:
        """Tell whether there is any verdict on this job. Cheap: no record is read."""
        ...

    def made_before_keys(self) -> Iterable[tuple[str, str]]:
        """Return the job and fingerprint of each record that `made_before` may return."""
        ...


def with_earlier(record: JobRecord, charges: tuple[Charge, ...]) -> JobRecord:
    """Return the record with these charges of earlier attempts, and their sums."""
    return replace(
        record,
        charges=charges,
        earlier_cost_usd=total_usd(charges, reported=True),
        earlier_price_usd=total_usd(charges, reported=False),
    )


def restored(current: JobRecord, made: JobRecord, *, ts: str) -> JobRecord:
    """Return the record of an earlier input as the present one, with what was spent in all."""
    charges = without(current.all_charges, made.present_charge)
    return with_earlier(replace(made, ts=ts, granted=False), charges)


def adopted(
    record: JobRecord, *, job: str, ts: str, replaced: JobRecord | None = None
) -> tuple[JobRecord, JobRecord]:
    """Return the record under its new name, and the one that closes the old name.

    `replaced` is what the new name has so far: a submission that was not accepted.
    """
    renamed = replace(record, ts=ts, job=job)
    if replaced is not None and replaced.all_charges:
        renamed = with_earlier(renamed, (*record.earlier_charges, *replaced.all_charges))
    return renamed, replace(record, ts=ts, adopted_by=job)


def apply(record: JobRecord | None, event: Event, *, job: str, ts: str) -> JobRecord:
    """Return the record of `job` after an event at the time `ts`; `record` None: there was none.

    Raises `IllegalTransition` for an event that the table does not allow, and for another
    submission of an input that already has an output, unless it is its next take.
    """
    before = S.PENDING if record is None else record.state
    state = TRANSITIONS[before].get(type(event))
    if isinstance(event, Intended) and state is not None:
        return _begin_attempt(record, event, job=job, ts=ts)
    if record is None or state is None:
        message = f"job {job!r}, which is {before.value}, cannot take {type(event).__name__}"
        raise IllegalTransition(message)
    if before is S.PENDING and not isinstance(event, Granted):
        record = replace(record, attempt=max(1, record.attempts))  # this POST was none
    if isinstance(event, Attached):
        return replace(_attach(record, event.request_id), ts=ts, state=state)
    finished_at = ts if isinstance(event, Succeeded | Failed | Refused | Cancelled) else None
    base = replace(record, ts=ts, state=state, finished_at=finished_at or record.finished_at)
    return _with_facts(base, event)


def _begin_attempt(record: JobRecord | None, event: Intended, *, job: str, ts: str) -> JobRecord:
    begun = JobRecord(
        ts=ts,
        job=job,
        state=S.SUBMITTING,
        model=event.model or (record.model if record is not None else None),
        fingerprint=event.fingerprint,
        submitted_at=ts,
        price_usd=event.price_usd,
        by=dict(event.by),
        step=event.step,
        made_from=event.made_from,
    )
    if record is None:
        return begun
    if record.fingerprint != event.fingerprint:
        return with_earlier(begun, record.all_charges)
    if event.take == record.take + 1 and record.state in REDONE:
        takes = (*record.takes, record.present_take)
        return with_earlier(replace(begun, take=event.take, takes=takes), record.all_charges)
    if record.state in PAID_FOR or event.take != record.take:
        message = f"job {job!r} is {record.state.value} for this very input (take {record.take})"
        raise IllegalTransition(message)
    attempt = record.attempts + 1
    same_take = replace(begun, attempt=attempt, take=record.take, takes=record.takes)
    return with_earlier(same_take, record.all_charges)


def _attach(record: JobRecord, request_id: str) -> JobRecord:
    """Return the record in flight with the request that the user found.

    It may be that of an earlier attempt, which then becomes the present one with its own charge.
    """
    attached = replace(
        record, request_id=request_id, error=None, finished_at=None, given_up=False, granted=False
    )
    if record.request_id == request_id or _may_be_lost(record):
        return attached
    found = _charge_of(record.earlier_charges, record, request_id)
    if found is None and record.request_id is None:
        return attached
    if found is None:
        return with_earlier(replace(attached, cost_usd=None), record.all_charges)
    attached = replace(
        attached,
        submitted_at=found.at,
        by=found.by,
        price_usd=record.price_usd if found.reported else found.usd,
        cost_usd=found.usd if found.reported else None,
    )
    return with_earlier(attached, without(record.all_charges, found))


def _may_be_lost(record: JobRecord) -> bool:
    """Tell whether the present attempt may have a request_id that nobody knows."""
    if record.request_id is not None or record.state is S.PENDING:
        return False
    return record.error is None or record.error.kind not in NOT_CHARGED


def _charge_of(charges: tuple[Charge, ...], record: JobRecord, request_id: str) -> Charge | None:
    """Return the charge of an earlier attempt that this request belongs to, if any can be it."""
    for charge in reversed(charges):
        if charge.request_id == request_id:
            return charge
    for charge in reversed(charges):
        is_doubt = charge.request_id is None and not charge.reported
        if is_doubt and charge.fingerprint in ("", record.fingerprint):
            return charge
    return None


def _with_facts(record: JobRecord, event: Event) -> JobRecord:
    match event:
        case Accepted(request_id=request_id):
            return replace(record, request_id=request_id)
        case Succeeded(outputs=outputs, cost_usd=cost_usd):
            known = record.cost_usd if cost_usd is None else cost_usd
            return replace(record, outputs=outputs, cost_usd=known)
        case Failed(error=error, cost_usd=cost_usd):
            known = record.cost_usd if cost_usd is None else cost_usd
            return replace(record, error=error, cost_usd=known)
        case NotAccepted(error=error) | Refused(error=error) | AnswerLost(error=error):
            return replace(record, error=error)
        case Saved(files=files):
            return replace(record, files=files)
        case GivenUp():
            return replace(record, given_up=True, granted=False)
        case Granted():
            return replace(record, granted=True, given_up=False)
        case _:
            return record


CRASHED = JobError(
    kind=ErrorKind.CRASH,
    message="the run ended between writing down this submission and its answer",
)
