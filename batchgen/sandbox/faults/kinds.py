"""The vocabulary of the fault language: calls, forms of errors, faults, kinds of fault.

A kind of fault has an effect: a pure function that turns the answer that the client should get into
the one that it does get. Whether the call is carried out before that is `accepted`; for a
submission, this is whether it made a job. The option `accepted=yes` or `accepted=no` overrides it.

A kind with an `ending` leaves the answers alone: it decides how a job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, get_origin, get_type_hints

from batchgen.sandbox.http_answer import Answer, gateway_error, of_json

if TYPE_CHECKING:
    from batchgen.sandbox.served_file import File

Body = dict[str, object]

HTTP_MESSAGE = "made to fail by the sandbox"
FAILURE_MESSAGE = "the sandbox made this job fail"
_PAGE = b"<!doctype html><title>Just a moment</title><p>Checking your connection.</p>"

BODIES: Mapping[str, Callable[[int, int], Answer]] = {
    "message": lambda http, _code: gateway_error(http),
    "error_code": lambda http, code: of_json(
        {"error_code": code, "error_message": HTTP_MESSAGE}, http
    ),
    "code": lambda http, code: of_json({"code": code, "error": HTTP_MESSAGE}, http),
    "detail": lambda http, _code: of_json({"detail": HTTP_MESSAGE}, http),
    "details": lambda http, _code: of_json(
        {"detail": [{"loc": ["body"], "msg": HTTP_MESSAGE, "type": "sandbox"}]}, http
    ),
    "html": lambda http, _code: Answer(http, _PAGE, "text/html"),
    "empty": lambda http, _code: Answer(http, b""),
}
"""The bodies of HTTP errors that the vendor's clients read, from status and code."""

SHAPES: Mapping[str, Callable[[str, int], object]] = {
    "string": lambda message, _code: message,
    "object": lambda message, _code: {"type": "generation_error", "message": message},
    "list": lambda message, code: [{"errorCode": code, "error": message, "debugInfo": ""}],
    "details": lambda message, code: {
        "error": message, "details": "", "debugInfo": "", "errorCode": code
    },
    "nested": lambda message, code: {"error": {"code": code, "message": message}},
    "strings": lambda message, _code: [message],
    "number": lambda _message, code: code,
    "null": lambda _message, _code: None,
}  # fmt: skip
"""The forms of a failed result's `error` that clients of the vendor read, and some new ones."""

MISSING = "missing"
"""The shape of a failed result without an `error`."""


Reader = tuple[Callable[[str], object], str]
"""The function that reads a value, and what to say is right if it raises."""


def checked(convert: Callable[[str], Any], is_right: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return a reader that converts a text, and raises `ValueError` for what is not right."""

    def read(text: str) -> object:
        value = convert(text)
        if not is_right(value):
            raise ValueError
        return value

    return read


def _choice(*words: str) -> Reader:
    return checked(str, words.__contains__), f"{', '.join(words[:-1])} or {words[-1]}"


def _is_plain(text: str) -> bool:
    return text.isprintable() and bool(text.strip())


_AMOUNT = checked(float, lambda value: 0 <= value < float("inf"))
SECONDS: Reader = (_AMOUNT, "seconds, 0 or more")
COUNT: Reader = (checked(int, lambda count: count >= 1), "a number of calls, from 1")
_PLAIN_TEXT = checked(str, _is_plain)
_YES_OR_NO: Reader = (
    {"yes": True, "true": True, "no": False, "false": False}.__getitem__,
    "yes or no",
)
_ERROR_CODE: Reader = (
    checked(int, lambda code: 400 <= int(str(code)[:3]) <= 599),
    "an error code whose first three digits are 400 to 599, such as 400002",
)
_HTTP_STATUS: Reader = (checked(int, range(200, 600).__contains__), "an HTTP status, 200 to 599")
_SPEED: Reader = (
    checked(float, lambda speed: 1 <= speed < float("inf")),
    "bytes a second, 1 or more",
)
_CONTENT_TYPE: Reader = (
    checked(str, lambda text: text.isascii() and _is_plain(text)),
    "a Content-Type, such as text/plain",
)


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
    """One thing that goes wrong, with its options; each says how its text is read."""

    do: str
    """The name of its kind."""
    model: str = ""
    """Only models with this in their id."""
    accepted: Annotated[bool, _YES_OR_NO] = True
    """True if the call is carried out all the same."""
    retry_after: Annotated[float | None, SECONDS] = None
    """Sent as Retry-After."""
    retry_after_date: Annotated[float | None, SECONDS] = None
    """From now, sent as the date of Retry-After."""
    code: Annotated[int | None, _ERROR_CODE] = None
    """The numeric code of the error."""
    body: Annotated[str, _choice(*BODIES)] = ""
    """The form of the body of an HTTP error."""
    shape: Annotated[str, _choice(*SHAPES, MISSING)] = "object"
    """The form of a failed result's `error`."""
    message: Annotated[str, (_PLAIN_TEXT, "some words")] = ""
    """The text of a failed result's `error`."""
    cost_usd: Annotated[float | None, (_AMOUNT, "USD, 0 or more")] = None
    """The cost that a failed result reports."""
    word: Annotated[str, (_PLAIN_TEXT, "a word, such as warming_up")] = ""
    """The state or outcome that is sent in place of the true one."""
    http: Annotated[int, _HTTP_STATUS] = 200
    """The HTTP status of a fault that has one."""
    for_s: Annotated[float, SECONDS] = 3600.0
    """The time that a hanging connection stays open."""
    delay_s: Annotated[float, SECONDS] = 1.0
    after_s: Annotated[float, SECONDS] = 0.0
    """From acceptance until the request is forgotten."""
    bytes_per_s: Annotated[float, _SPEED] = 1000.0
    to: Annotated[str, _choice("path", "host")] = "path"
    """The target of a redirect: another path of the sandbox, or a foreign host."""
    type: Annotated[str, _CONTENT_TYPE] = "text/plain"
    unit: Annotated[str, (_PLAIN_TEXT, "a price unit, such as megapixel")] = "megapixel"


def readers_of(described: type) -> dict[str, Reader]:
    """Return the readers of the fields that have one."""
    hints = get_type_hints(described, include_extras=True)
    return {
        name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated
    }


def error_of(fault: Fault) -> Body:
    """Return the `error` of a failed result, or nothing."""
    if fault.shape == MISSING:
        return {}
    return {"error": SHAPES[fault.shape](fault.message or FAILURE_MESSAGE, fault.code or 500001)}


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


Effect = Callable[[Fault, Answer, Call], Answer]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault."""

    effect: Effect = lambda _fault, answer, _call: answer
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


def chance(*parts: object) -> float:
    """Return a number in [0, 1) that is the same for the same parts, in every process."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 256**7
