"""One HTTP answer of the sandbox as a value, and the API's error answers.

The codes are those of RunComfy docs: error codes. How the body of an error looks and which HTTP
status goes with a code is not printed there; here it is the first three digits of the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec

JSON_TYPE = "application/json"

MALFORMED_ID = 400001
NO_BALANCE = 400002
BAD_TOKEN = 400004
NOT_YOURS = 403001
UNKNOWN = 404001
BAD_INPUT = 422001

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers of one answer."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How an answer reaches the client, if it does."""

    answer: Answer | None
    """None: the connection is closed without one."""
    delay_s: float = 0.0
    """Seconds before anything of it leaves."""
    cut: bool = False
    """Whether the connection is closed in the middle of the body."""


def of_json(payload: object, status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, _encode(payload))


def error(code: int, message: str, **more: object) -> Answer:
    """An error of the API, HTTP status being the first three digits of its code."""
    return of_json({"error_code": code, "error_message": message, **more}, code // 1000)


def gateway_error(status: int) -> Answer:
    """An error of what stands before the API: a bare message without a code."""
    known = status in HTTPStatus._value2member_map_
    return of_json({"message": HTTPStatus(status).phrase if known else "error"}, status)


def with_header(answer: Answer, name: str, value: str) -> Answer:
    """The same answer with one header more."""
    return replace(answer, headers={**(answer.headers or {}), name: value})
