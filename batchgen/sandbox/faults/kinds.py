"""What the fault language is made of: places, faults, and the rows of their table.

A row is pure: it turns the answer that the client should get into the delivery that it does get.
Whether the call was carried out before it went wrong is the row's `acts`; for a submission that
is whether a job was accepted, which `accepted=yes` or `accepted=no` overrides.

A row with an `ending` touches no answer on its way: it decides how a job ends.
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
    acts: bool = True
    """Whether the call is carried out all the same."""
    model: str = ""
    """Only models with this in their id."""
    retry_after: float | None = None
    """Seconds, sent as Retry-After."""
    retry_after_date: float | None = None
    """Seconds from now, sent as the date of Retry-After."""
    code: int | None = None
    """The numeric code of the error."""
    body: str = ""
    """Which of the known shapes the body of an HTTP error has."""
    shape: str = "object"
    """Of a failed result's `error`."""
    message: str = ""
    """The words of a failed result's `error`."""
    cost_usd: float | None = None
    """The cost that a failed result reports."""
    word: str = ""
    """The word that stands where the API's own should."""
    http: int = 200
    """The HTTP status of a fault that has one."""
    for_s: float = 3600.0
    """Seconds that a hanging connection stays open."""
    delay_s: float = 1.0
    after_s: float = 0.0
    """Seconds from acceptance until the request is forgotten."""
    bytes_per_s: float = 1000.0
    to: str = "path"
    """Where a redirect leads: to another path here, or to a foreign host."""
    type: str = "text/plain"
    """A Content-Type."""
    unit: str = "megapixel"
    """A price unit."""


Edit = Callable[[dict[str, object]], dict[str, object] | None]
"""Changes one entry of the catalogue; None takes it out."""


@dataclass(slots=True, kw_only=True)
class Call:
    """What a rule and its fault can know of one call."""

    on: On
    key: str
    """What is the same in every run: of the body and its attempt, not the random request_id."""
    prompt: str = ""
    model: str | None = ""
    """Id of its model; empty: of none, None: of all."""
    elapsed_s: float = 0.0
    """Since the sandbox started."""
    now: float = 0.0
    """Seconds since 1970."""
    origin: str = ""
    """Where the sandbox listens."""
    request_id: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    """The input of the job."""
    file: File | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the GET of that file."""
    fresh: bool = False
    """Whether the address of the file was told after an earlier one had died."""
    entries: Callable[[Edit], Answer] | None = None
    """For the catalogue: the answer with every entry changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ends."""

    fails: bool = False
    """Whether the result says `failed`."""
    has_outputs: bool = False
    forgets: bool = False
    """Whether the API no longer knows the request after `after_s`."""


Spoiler = Callable[[Fault, Answer, Call], Delivery]


def untouched(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The answer as it is."""
    return Delivery(answer=answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One kind of fault."""

    spoil: Spoiler = untouched
    places: frozenset[On] = EVERYWHERE
    options: tuple[str, ...] = ()
    selectors: tuple[str, ...] | None = None
    """Those that make sense; None: all."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Options that differ from those of `Fault`."""
    acts: bool = True
    steady: bool = False
    """Whether it hits every call where no selector says which, not only the first for each key."""
    ending: Ending | None = None
    refuses: bool = False
    """Whether nobody listens while it lasts."""

    @property
    def fate(self) -> bool:
        """Whether it decides how a job ends, and touches no answer."""
        return self.ending is not None
