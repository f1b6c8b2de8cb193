"""The answers of the API as values, one class for each thing the caller can do next.

`core.api_decoding` makes them from replies.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchgen.core.events import WithError


class Reply(Struct, frozen=True, kw_only=True):
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


class NoReply(Struct, frozen=True, kw_only=True):
    """A call without a reply."""

    lost: Lost
    message: str


# Answers to a submission.


class Submitted(Struct, frozen=True, kw_only=True):
    """The job was accepted under this request_id; it is paid for."""

    request_id: str


class TryAgain(WithError, frozen=True, kw_only=True):
    """Nothing was accepted (or, by a poll, nothing learned), so the call may be repeated."""

    retry_after_s: float | None = None
    answered: bool = True
    """False if there was no reply at all."""


class RowRefused(WithError, frozen=True):
    """The API refuses this input, and would refuse it again."""


class Doubt(WithError, frozen=True):
    """It is not known whether the job was accepted, so it may have been paid for."""


class TokenRejected(WithError, frozen=True):
    """No call can succeed until the user has set another token."""


class AccessDenied(WithError, frozen=True):
    """Refused as a gateway does it: about the token only if a free call is refused too."""


class NoBalance(WithError, frozen=True):
    """No submission can succeed until the user adds balance; jobs in flight can be collected."""


SubmitAnswer = Submitted | TryAgain | RowRefused | Doubt | TokenRejected | AccessDenied | NoBalance


# Answers to a poll, which is a call of status or result.


class Queued(Struct, frozen=True, kw_only=True):
    """The job waits in the remote queue."""

    position: int | None = None


class Running(Struct, frozen=True, kw_only=True):
    """The job runs remotely, or has a status word that this program does not know."""

    unknown_word: str | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """The job has ended. Only the result tells how: `completed` as a status is not a success."""


class Produced(Struct, frozen=True, kw_only=True):
    """The job succeeded with these output URLs, possibly none."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None
    odd_cost: str = ""
    """A cost that was reported and is not an amount, for a note."""


class Broke(WithError, frozen=True, kw_only=True):
    """The job failed, as the API reports."""

    cost_usd: float | None = None
    odd_cost: str = ""
    """As in `Produced`."""


class WasCancelled(Struct, frozen=True, kw_only=True):
    """The job was cancelled, as the API reports."""


class Gone(WithError, frozen=True):
    """The API no longer knows the request_id."""


PollAnswer = (
    Queued | Running | Ended | Produced | Broke | WasCancelled | Gone | TryAgain | TokenRejected
)


class CancelOutcome(StrEnum):
    """The answer to a request to cancel; another poll always follows."""

    CANCELLED = "cancelled"
    NOT_CANCELLABLE = "not_cancellable"
    UNKNOWN = "unknown"
