"""What the API answered, by what the caller does next. Values only; `core.reading` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchgen.core.events import JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer, read to its end and bounded in size."""

    http_status: int
    payload: object = None
    """The JSON body; None where there was none or it could not be read."""
    text: str = ""
    """The beginning of the body, for messages; never the token."""
    retry_after_s: float | None = None


class Lost(StrEnum):
    """How a call ended without an answer, by what that proves."""

    NOT_SENT = "not_sent"  #: No connection was made: nothing can have been accepted.
    UNKNOWN = "unknown"  #: The request may have arrived.


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """A call without an answer."""

    lost: Lost
    message: str


# What a submission came to.


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job was accepted under this name; it is paid for."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Nothing was accepted (or, for a poll, nothing was learned): the call may be repeated."""

    error: JobError
    retry_after_s: float | None = None
    answered: bool = True
    """Whether the API said anything at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRefused:
    """The API does not take this input; the same input will be refused again."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """The job may have been accepted and paid for; nobody knows."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRejected:
    """No call can succeed before a person acts."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBalance:
    """No submission can succeed before a person acts; what is in flight can be collected."""

    error: JobError


SubmitAnswer = Submitted | TryAgain | RowRefused | Doubt | TokenRejected | NoBalance


# What a look at a job came to.


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """Waiting remotely."""

    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Runs remotely, or says something that this program does not know."""

    unknown_word: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Has ended; only the result tells how (`completed` on status is no success)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """Succeeded with these output URLs, possibly none."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """The API reports a failure of the job."""

    error: JobError
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WasCancelled:
    """The API reports the job as cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The API no longer knows the request_id."""

    error: JobError


PollAnswer = (
    Queued | Running | Ended | Produced | Broke | WasCancelled | Gone | TryAgain | TokenRejected
)


class CancelOutcome(StrEnum):
    """What a request to cancel came to; always followed by one more look."""

    CANCELLED = "cancelled"
    NOT_CANCELLABLE = "not_cancellable"
    UNKNOWN = "unknown"
