"""The lifecycle of a job: one table, and the fold of an event into a record.

Rules of this file
- Everything that decides which state follows which is in `TRANSITIONS`. The money rules are rows
  of it: no event leads from a lost answer, a failed download or a completed job back to a POST;
  only `Intended` does, and `apply` lets it leave a state that was paid for only where the input
  has changed.
- What is not in the table is an error of this program (`IllegalTransition`), never a shrug.
- A record says all that is known of a job's present attempt. So the last line of a job in the
  ledger is its record, and replay needs no arithmetic.

The drawing in ARCHITECTURE.md is held against this table by a test.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

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
    NotAccepted,
    OutputFile,
    Refused,
    Saved,
    Started,
    Succeeded,
)


class JobState(StrEnum):
    """Where a job is; the values are those of the ledger."""

    PENDING = "pending"  #: Nothing was accepted: in no ledger, or put back there.
    SUBMITTING = "submitting"  #: Intent is durable, the POST may have left.
    IN_QUEUE = "in_queue"  #: Accepted and named by the API.
    IN_PROGRESS = "in_progress"  #: Running remotely; can no longer be cancelled.
    COMPLETED = "completed"  #: Succeeded, outputs are known, not all are on disk.
    DOWNLOADED = "downloaded"  #: Every output is on disk.
    FAILED = "failed"  #: Ended without a usable output, or refused.
    CANCELLED = "cancelled"  #: Cancelled while queued.
    IN_DOUBT = "in_doubt"  #: A POST left and nobody knows whether it was accepted.
    UNKNOWN = "unknown"  #: A word of a later version; such a job is shown and left alone.

    @classmethod
    def _missing_(cls, value: object) -> JobState | None:
        return cls.UNKNOWN if isinstance(value, str) else None


S = JobState

TRANSITIONS: dict[JobState, dict[type[Event], JobState]] = {
    S.PENDING: {Intended: S.SUBMITTING},
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
    S.COMPLETED: {Saved: S.DOWNLOADED, Failed: S.FAILED, Intended: S.SUBMITTING},
    S.DOWNLOADED: {Intended: S.SUBMITTING, FilesLost: S.COMPLETED},
    S.FAILED: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.FAILED,
        Granted: S.FAILED,
    },
    S.CANCELLED: {Intended: S.SUBMITTING, GivenUp: S.CANCELLED, Granted: S.CANCELLED},
    S.IN_DOUBT: {
        Intended: S.SUBMITTING,
        Attached: S.IN_QUEUE,
        GivenUp: S.FAILED,
        Granted: S.IN_DOUBT,
    },
    S.UNKNOWN: {},
}

IN_FLIGHT = frozenset({S.IN_QUEUE, S.IN_PROGRESS})
"""Accepted and not yet ended: counts against the concurrency cap and is polled."""

PAID_FOR = frozenset({S.COMPLETED, S.DOWNLOADED})
"""An output exists for this input: submitting the same input again would pay twice."""


class IllegalTransition(Exception):
    """An event arrived in a state that has no row for it: a defect of this program."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one job, as of its last event. One ledger line holds one record."""

    ts: str
    """UTC, RFC 3339 with milliseconds and `Z`."""
    job: str
    state: JobState
    attempt: int = 1
    """Number of this POST among those that were accepted or are in doubt, from 1."""
    request_id: str | None = None
    outputs: tuple[str, ...] = ()
    fingerprint: str = ""
    """Of the model and input that were submitted; differs from the job's after an edit."""
    submitted_at: str | None = None
    """When the intent of this attempt was written."""
    finished_at: str | None = None
    """When this program learned that the API had finished the job."""
    cost_usd: float | None = None
    """What the API reported for this attempt."""
    price_usd: float | None = None
    """What was set aside for this attempt."""
    earlier_price_usd: float = 0.0
    """What was set aside for earlier attempts that may have been charged and did not say."""
    earlier_cost_usd: float = 0.0
    """What the API reported for earlier attempts of this job, edited inputs included."""
    files: tuple[OutputFile, ...] = ()
    error: JobError | None = None
    given_up: bool = False
    """A person accepts that it ended so."""
    granted: bool = False
    """A person allows one more attempt."""
    adopted_by: str | None = None
    """The job that goes on with this record; this one is then no job of its own any more."""

    @property
    def attempts(self) -> int:
        """Accepted or doubtful POSTs so far; a POST that was proven not accepted is none."""
        return self.attempt - 1 if self.state is S.PENDING else self.attempt

    @property
    def total_cost_usd(self) -> float:
        """What the API reported for all attempts together."""
        return self.earlier_cost_usd + (self.cost_usd or 0.0)

    @property
    def open_price_usd(self) -> float:
        """What stays set aside for this attempt: nothing once it said its cost, or was refused."""
        refused = self.error is not None and self.error.kind == ErrorKind.REFUSED
        settled = self.cost_usd is not None or self.state is S.PENDING or refused
        return 0.0 if settled else self.price_usd or 0.0


def restored(current: JobRecord, made: JobRecord, *, ts: str) -> JobRecord:
    """The record of an earlier input as the present one; what was spent in all stays the same."""
    spent_otherwise_usd = current.total_cost_usd - (made.cost_usd or 0.0)
    return msgspec.structs.replace(
        made, ts=ts, earlier_cost_usd=round(max(0.0, spent_otherwise_usd), 6)
    )


def adopted(record: JobRecord, *, job: str, ts: str) -> tuple[JobRecord, JobRecord]:
    """The record under its new name, and the mark that the old name is left with."""
    taken = msgspec.structs.replace(record, ts=ts, job=job)
    left = msgspec.structs.replace(record, ts=ts, adopted_by=job)
    return taken, left


def next_state(state: JobState, event: Event) -> JobState:
    """The row of the table; raises `IllegalTransition` where there is none."""
    try:
        return TRANSITIONS[state][type(event)]
    except KeyError:
        message = f"a job that is {state.value} cannot take {type(event).__name__}"
        raise IllegalTransition(message) from None


def apply(record: JobRecord | None, event: Event, *, job: str, ts: str) -> JobRecord:
    """Fold a fact into what is known of `job` (None: nothing yet) at the time `ts`.

    Raises `IllegalTransition` for what the table does not know, and for a second submission of
    an input whose output is already there.
    """
    state = next_state(record.state if record else S.PENDING, event)
    if isinstance(event, Intended):
        return _begin_attempt(record, event, job=job, ts=ts)
    if record is None:
        message = f"{type(event).__name__} for job {job!r}, which has no record"
        raise IllegalTransition(message)
    finished_at = ts if isinstance(event, Succeeded | Failed | Refused | Cancelled) else None
    base = msgspec.structs.replace(
        record, ts=ts, state=state, finished_at=finished_at or record.finished_at
    )
    return _with_facts(base, event)


def _begin_attempt(record: JobRecord | None, event: Intended, *, job: str, ts: str) -> JobRecord:
    same_input = record is not None and record.fingerprint == event.fingerprint
    if record is not None and same_input and record.state in PAID_FOR:
        message = f"job {job!r} is {record.state.value} for this very input"
        raise IllegalTransition(message)
    return JobRecord(
        ts=ts,
        job=job,
        state=S.SUBMITTING,
        attempt=record.attempts + 1 if record is not None and same_input else 1,
        fingerprint=event.fingerprint,
        submitted_at=ts,
        price_usd=event.price_usd,
        earlier_price_usd=record.earlier_price_usd + record.open_price_usd if record else 0.0,
        earlier_cost_usd=record.total_cost_usd if record is not None else 0.0,
    )


def _with_facts(record: JobRecord, event: Event) -> JobRecord:
    replace = msgspec.structs.replace
    match event:
        case Accepted(request_id=request_id):
            return replace(record, request_id=request_id)
        case Succeeded(outputs=outputs, cost_usd=cost_usd):
            return replace(record, outputs=outputs, cost_usd=cost_usd)
        case Failed(error=error, cost_usd=cost_usd):
            known = record.cost_usd if cost_usd is None else cost_usd
            return replace(record, error=error, cost_usd=known)
        case NotAccepted(error=error) | Refused(error=error) | AnswerLost(error=error):
            return replace(record, error=error)
        case Saved(files=files):
            return replace(record, files=files)
        case Attached(request_id=request_id):
            return replace(
                record, request_id=request_id, error=None, finished_at=None, given_up=False
            )
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
