"""The vocabulary of the fault language: calls, faults and kinds of fault.

A kind of fault has an effect: a pure function that turns the answer that the client should get into
the delivery that it does get. Whether the call is carried out before that is `accepted`; for a
submission, this is whether it made a job. The option `accepted=yes` or `accepted=no` overrides it.

A kind with an `ending` leaves the answers alone: it decides how a job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from batchgen.sandbox.http_answer import Answer, Delivery
from batchgen.sandbox.served_file import File


class On(StrEnum):
    """The calls that rules can be about."""

    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    FILE = "file"
    CATALOGUE = "catalogue"
    BALANCE = "balance"
    ANY = "any"
    """All of them."""


EVERYWHERE = frozenset(On)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, with its options."""

    do: str
    """The name of its kind."""
    accepted: bool = True
    """True if the call is carried out all the same."""
    model: str = ""
    """Only models with this in their id."""
    retry_after: float | None = None
    """Seconds, sent as Retry-After."""
    retry_after_date: float | None = None
    """Seconds from now, sent as the date of Retry-After."""
    code: int | None = None
    """The numeric code of the error."""
    body: str = ""
    """Name in `BODIES`: the form of the body of an HTTP error."""
    shape: str = "object"
    """Name in `SHAPES`: the form of a failed result's `error`."""
    message: str = ""
    """The text of a failed result's `error`."""
    cost_usd: float | None = None
    """The cost that a failed result reports."""
    word: str = ""
    """The state or outcome that is sent in place of the true one."""
    http: int = 200
    """The HTTP status of a fault that has one."""
    for_s: float = 3600.0
    """Seconds that a hanging connection stays open."""
    delay_s: float = 1.0
    after_s: float = 0.0
    """Seconds from acceptance until the request is forgotten."""
    bytes_per_s: float = 1000.0
    to: str = "path"
    """The target of a redirect: another path of the sandbox, or a foreign host."""
    type: str = "text/plain"
    """A Content-Type."""
    unit: str = "megapixel"
    """A price unit."""


Edit = Callable[[dict[str, object]], dict[str, object] | None]
"""Changes one entry of the catalogue; None takes it out."""


@dataclass(slots=True, kw_only=True)
class Call:
    """Everything that a rule and an effect can know of one call."""

    on: On
    key: str
    """The same in every run: made from the body and its attempt, not from the random request_id."""
    prompt: str = ""
    model: str | None = ""
    """Id of its model; empty if it is about none, None if it is about all."""
    elapsed_s: float = 0.0
    """Since the sandbox started."""
    now: float = 0.0
    """Seconds since 1970."""
    origin: str = ""
    """The address at which the sandbox listens."""
    request_id: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    """The input of the job."""
    file: File | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the GET of that file."""
    fresh: bool = False
    """True if the address of the file was given out after an earlier one had expired."""
    entries: Callable[[Edit], Answer] | None = None
    """For the catalogue: the answer with every entry changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a job."""

    fails: bool = False
    """True if the result says `failed`."""
    has_outputs: bool = False
    forgets: bool = False
    """True if the API no longer knows the request after `after_s`."""


Effect = Callable[[Fault, Answer, Call], Delivery]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    effect: Effect = lambda _fault, answer, _call: Delivery(answer)
    on: frozenset[On] = EVERYWHERE
    """The calls that it is possible for."""
    options: tuple[str, ...] = ()
    selectors: tuple[str, ...] | None = None
    """The selectors that make sense for it; None: all."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Options that differ from those of `Fault`."""
    accepted: bool = True
    steady: bool = False
    """Whether, without a selector, it hits every call and not only the first one for each key."""
    ending: Ending | None = None
    refuses: bool = False
    """True if the port is closed while it lasts."""
