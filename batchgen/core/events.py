"""Facts about one job, in the words of the lifecycle. An event says what is known to be so.

Events are values: the runner makes them out of answers, `lifecycle.apply` folds them into a
record, the ledger makes that record durable. Nothing here knows how a fact was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from batchgen.core.jobs import JSONValue


class ErrorKind(StrEnum):
    """Why a job failed or is in doubt; written to the ledger, so values never change."""

    REFUSED = "refused"  #: The API would not take this input; nothing was accepted.
    GENERATION = "generation"  #: Accepted, then reported as failed by the API.
    CONTENT = "content"  #: Accepted, then refused for what it shows or says.
    EXPIRED = "expired"  #: The API no longer knows the request_id.
    NO_OUTPUT = "no_output"  #: A success without any URL.
    LOST_ANSWER = "lost_answer"  #: The POST left and no usable answer came back.
    CRASH = "crash"  #: The ledger holds the intent of a POST and nothing after it.
    DAMAGED = "damaged"  #: Its line in the ledger cannot be read any more.
    NOT_ACCEPTED = "not_accepted"  #: It is certain that the POST was not accepted.


class JobError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What went wrong with one job, as it stands in the ledger."""

    kind: str
    message: str
    http_status: int | None = None
    error_code: int | None = None


class OutputFile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file that lies whole under its final name."""

    path: str
    """Relative to the run directory, with `/`."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """A POST is about to leave. Durable before it does."""

    model: str
    input: Mapping[str, JSONValue]
    fingerprint: str
    price_usd: float | None = None
    """What is set aside for it; None where no price is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The API took the job, which is from here on paid for, and named it."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAccepted:
    """It is certain that the API did not take the job (see `core.reading`)."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The API looked at this input and would not take it."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLost:
    """The POST left and it is not known whether it was accepted."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The job left the remote queue and runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The result is there: every output URL, in document order."""

    outputs: tuple[str, ...]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job ended without a usable output."""

    error: JobError
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The job was cancelled while it was queued, and a second look confirmed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Every output lies on disk, whole, under its final name."""

    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesLost:
    """A file that was downloaded is missing or damaged; it can be fetched again at no cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A person found the request that a lost answer belongs to."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A person accepts that this job ended badly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A person allows one more attempt, whatever the policy says."""


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
