"""The answers of the API as values, one class for each thing the caller can do next.

`core.api_decoding` makes them from replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchgen.core.events import JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP reply whose body was read to its end."""

    http_status: int
    payload: object = None
    """The JSON body; None if there was none or it could not be parsed."""
    text: str = ""
    """The beginning of the body, for messages, with the token removed."""
    retry_after_s: float | None = None


class Lost(StrEnum):
    """The two ways in which a call ends without a reply."""

    NOT_SENT = "not_sent"  #: No connection was made, so nothing was accepted.
    UNKNOWN = "unknown"  #: The request may have arrived.


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """A call without a reply."""

    lost: Lost
    message: str


# Answers to a submission.


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job was accepted under this request_id; it is paid for."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Nothing was accepted (or, by a poll, nothing learned), so the call may be repeated."""

    error: JobError
    retry_after_s: float | None = None
    answered: bool = True
    """False if there was no reply at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRefused:
    """The API refuses this input, and would refuse it again."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """It is not known whether the job was accepted, so it may have been paid for."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRejected:
    """No call can succeed until the user has set another token."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBalance:
    """No submission can succeed until the user adds balance; jobs in flight can be collected."""

    error: JobError


SubmitAnswer = Submitted | TryAgain | RowRefused | Doubt | TokenRejected | NoBalance


# Answers to a poll, which is a call of status or result.


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The job waits in the remote queue."""

    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The job runs remotely, or has a status word that this program does not know."""

    unknown_word: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The job has ended. Only the result tells how: `completed` as a status is not a success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """The job succeeded with these output URLs, possibly none."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """The job failed, as the API reports."""

    error: JobError
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WasCancelled:
    """The job was cancelled, as the API reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The API no longer knows the request_id."""

    error: JobError


PollAnswer = (
    Queued | Running | Ended | Produced | Broke | WasCancelled | Gone | TryAgain | TokenRejected
)


class CancelOutcome(StrEnum):
    """The answer to a request to cancel; another poll always follows."""

    CANCELLED = "cancelled"
    NOT_CANCELLABLE = "not_cancellable"
    UNKNOWN = "unknown"
