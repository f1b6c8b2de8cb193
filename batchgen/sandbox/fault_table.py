"""What can go wrong, one row each: on which calls, with which options, and what comes of it.

A row is pure: it turns the answer that the client should get into the delivery that it does get.
Whether the call was carried out before it went wrong is the row's `acts`; for a submission that
is whether a job was accepted, which `accepted=yes` or `accepted=no` overrides.

A row with `fate` touches no answer on its way: it decides how a job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from batchgen.sandbox.answers import Answer, Delivery, error, gateway_error, of_json, with_header


class On(StrEnum):
    """The calls that rules can be about."""

    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    FILE = "file"
    CATALOGUE = "catalogue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, with its options."""

    do: str
    acts: bool = True
    """Whether the call is carried out all the same."""
    retry_after: float | None = None
    """Seconds, sent as Retry-After."""
    code: int | None = None
    """The numeric `error_code` of the body."""
    shape: str = "object"
    """Of a failed result's `error`: string, object or list."""
    cost_usd: float | None = None
    """The cost that a failed result reports."""
    for_s: float = 3600.0
    """Seconds that a hanging connection stays open."""
    delay_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of fault."""

    spoil: Callable[[Fault, Answer], Delivery]
    places: frozenset[On] = frozenset(On)
    options: tuple[str, ...] = ()
    acts: bool = True
    fate: bool = False


def _close(_fault: Fault, _answer: Answer) -> Delivery:
    return Delivery(answer=None)


def _hang(fault: Fault, _answer: Answer) -> Delivery:
    return Delivery(answer=None, delay_s=fault.for_s)


def _slow(fault: Fault, answer: Answer) -> Delivery:
    return Delivery(answer=answer, delay_s=fault.delay_s)


def _status(fault: Fault, _answer: Answer) -> Delivery:
    status = int(fault.do)
    answer = gateway_error(status)
    if fault.code is not None:
        body = {"error_code": fault.code, "error_message": "made to fail by the sandbox"}
        answer = of_json(body, status)
    if fault.retry_after is not None:
        answer = with_header(answer, "Retry-After", f"{fault.retry_after:g}")
    return Delivery(answer=answer)


def _error_code(fault: Fault, _answer: Answer) -> Delivery:
    body = error(fault.code or 422001, "made to fail by the sandbox").body
    return Delivery(answer=Answer(200, body))


def _html(_fault: Fault, _answer: Answer) -> Delivery:
    body = b"<!doctype html><title>Just a moment</title><p>Checking your connection.</p>"
    return Delivery(answer=Answer(200, body, "text/html"))


def _bad_json(_fault: Fault, answer: Answer) -> Delivery:
    return Delivery(answer=Answer(answer.status, answer.body[: len(answer.body) // 2]))


def _truncate(_fault: Fault, answer: Answer) -> Delivery:
    return Delivery(answer=answer, cut=True)


def _no_request_id(_fault: Fault, answer: Answer) -> Delivery:
    body = msgspec.json.decode(answer.body)
    kept = {key: value for key, value in body.items() if key != "request_id"}
    return Delivery(answer=of_json(kept, answer.status))


def _untouched(_fault: Fault, answer: Answer) -> Delivery:
    return Delivery(answer=answer)


_JSON_PLACES = frozenset(On) - {On.FILE}
_FATE_PLACES = frozenset({On.SUBMIT, On.RESULT})

STATUSES = Row(spoil=_status, options=("accepted", "retry_after", "code"), acts=False)
"""The row of every HTTP status, 400 to 599."""

FAULTS: Mapping[str, Row] = {
    "lose-answer": Row(spoil=_close),
    "drop": Row(spoil=_close, acts=False),
    "hang": Row(spoil=_hang, options=("accepted", "for_s")),
    "slow": Row(spoil=_slow, options=("delay_s",)),
    "html": Row(spoil=_html, options=("accepted",), acts=False),
    "bad-json": Row(spoil=_bad_json, places=_JSON_PLACES),
    "error-code": Row(
        spoil=_error_code, options=("accepted", "code"), places=_JSON_PLACES, acts=False
    ),
    "no-request-id": Row(spoil=_no_request_id, places=_JSON_PLACES - {On.CATALOGUE}),
    "truncate": Row(spoil=_truncate, places=frozenset({On.FILE})),
    "failed": Row(spoil=_untouched, options=("shape", "cost_usd"), places=_FATE_PLACES, fate=True),
    "no-output": Row(spoil=_untouched, places=_FATE_PLACES, fate=True),
}
"""Every other kind of fault by its name."""


def row_of(do: str) -> Row | None:
    """The row of a kind of fault; None where there is none."""
    if do.isascii() and do.isdigit():
        return STATUSES if 400 <= int(do) <= 599 else None
    return FAULTS.get(do)


def spoil(fault: Fault, answer: Answer) -> Delivery:
    """What the client gets instead of this answer."""
    row = row_of(fault.do)
    return row.spoil(fault, answer) if row else Delivery(answer=answer)


def _number(text: str, *, above: float = float("inf"), least: float = 0.0) -> float:
    value = float(text)
    if not least <= value <= above or value == float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _code(text: str) -> int:
    value = int(text)
    if not 400 <= int(str(value)[:3]) <= 599:
        raise ValueError
    return value


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


def _yes(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text]


Reader = tuple[Callable[[str], object], str]
"""How a value is read, and what is right where it cannot be."""

_SECONDS: Reader = (_number, "seconds, 0 or more")

OPTIONS: Mapping[str, Reader] = {
    "accepted": (_yes, "yes or no"),
    "retry_after": _SECONDS,
    "code": (_code, "an error code whose first three digits are 400 to 599, such as 400002"),
    "shape": (_choice("string", "object", "list"), "string, object or list"),
    "cost_usd": (_number, "USD, 0 or more"),
    "for_s": _SECONDS,
    "delay_s": _SECONDS,
}
"""What options of a fault look like."""

SELECTORS: Mapping[str, Reader] = {
    "rate": (lambda text: _number(text, above=1.0), "a share from 0 to 1"),
    "first": (_count, "a number of calls, from 1"),
    "every": (_count, "a number of calls, from 1"),
    "match": (str, "part of a prompt"),
    "from_s": _SECONDS,
    "to_s": _SECONDS,
}
"""What says which calls a rule is about; all that are given must agree."""
