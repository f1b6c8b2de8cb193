"""Events: facts about one job, in the words of the lifecycle.

The runner makes them from answers, `lifecycle.apply` folds them into a record, and the ledger makes
that record durable. An event does not say how the fact was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from batchgen.core.json_reader import JSONValue


class ErrorKind(StrEnum):
    """The kinds of failures and doubts; they are written to ledgers, so the values never change."""

    REFUSED = "refused"  #: The API refused this input; nothing was accepted.
    GENERATION = "generation"  #: Accepted, then reported as failed by the API.
    CONTENT = "content"  #: Accepted, then refused because of its content.
    EXPIRED = "expired"  #: The API no longer knows the request_id.
    NO_OUTPUT = "no_output"  #: Reported as a success without any URL.
    LOST_ANSWER = "lost_answer"  #: The POST was sent and no usable answer came back.
    CRASH = "crash"  #: The ledger has the intent of a POST and nothing after it.
    DAMAGED = "damaged"  #: Its line in the ledger cannot be read any more.
    NOT_ACCEPTED = "not_accepted"  #: It is certain that the POST was not accepted.
    INPUT_GONE = "input_gone"  #: What it is made from cannot be had any more; nothing was sent.


class JobError(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The error of one job, as in the ledger."""

    kind: str
    message: str
    http_status: int | None = None
    error_code: int | None = None


class WithError(Struct, frozen=True, kw_only=True):
    """A value that carries an error."""

    error: JobError


class OutputFile(Struct, frozen=True, kw_only=True, gc=False):
    """A file that is complete under its final name."""

    path: str
    """Relative to the run directory, with `/`."""
    bytes: int
    sha256: str


class MadeFrom(Struct, frozen=True, kw_only=True, gc=False):
    """The output of an earlier step that a job is made from."""

    # Other keys than those of a record: what is left of a damaged line is read by its keys.
    of: str
    """That job."""
    n: int
    """Its take."""
    i: int
    """The number of the output, from 1."""


class Intended(Struct, frozen=True, kw_only=True):
    """A POST is about to be sent. On disk before it is."""

    model: str
    input: Mapping[str, JSONValue]
    fingerprint: str
    take: int = 1
    """The number of the output that is requested, among those of this input."""
    price_usd: float | None = None
    """The price that is reserved for it; None if no price is known."""
    by: Mapping[str, str] = {}
    """The values of the columns that have budgets, by column."""
    step: str = ""
    made_from: tuple[MadeFrom, ...] = ()


class Accepted(Struct, frozen=True, kw_only=True):
    """The API accepted the job, which is paid for from now on."""

    request_id: str


class NotAccepted(WithError, frozen=True):
    """It is certain that the API did not accept the job (see `core.api_decoding`)."""


class Refused(WithError, frozen=True):
    """The API refused this input."""


class AnswerLost(WithError, frozen=True):
    """The POST was sent, and it is not known whether it was accepted."""


class Started(Struct, frozen=True, kw_only=True):
    """The job has left the remote queue and runs."""


class Succeeded(Struct, frozen=True, kw_only=True):
    """The job has a result: its output URLs, in document order."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None


class Failed(WithError, frozen=True, kw_only=True):
    """The job ended without a usable output."""

    cost_usd: float | None = None


class Cancelled(Struct, frozen=True, kw_only=True):
    """The job was cancelled while it was queued, and a second poll confirmed it."""


class Saved(Struct, frozen=True, kw_only=True):
    """Every output is on disk, complete, under its final name."""

    files: tuple[OutputFile, ...]


class FilesLost(Struct, frozen=True, kw_only=True):
    """A downloaded file is missing or damaged; it can be fetched again at no cost."""


class Attached(Struct, frozen=True, kw_only=True):
    """The user has found the request that a lost answer belongs to."""

    request_id: str


class GivenUp(Struct, frozen=True, kw_only=True):
    """The user accepts that this job ended badly."""


class Granted(Struct, frozen=True, kw_only=True):
    """The user allows one more attempt, whatever the policy says."""


Event = (
    Intended
    | Accepted
    | NotAccepted
    | Refused
    | AnswerLost
    | Started
    | Succeeded
    | Failed
    | Cancelled
    | Saved
    | Attached
    | GivenUp
    | Granted
    | FilesLost
)
