"""What goes wrong with downloads.

What spoils any answer: broken and slow connections, wrong statuses, bodies that are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate

from batchgen.sandbox import http_answer
from batchgen.sandbox.faults.kinds import Call, Fault
from batchgen.sandbox.http_answer import (
    Answer,
    Delivery,
    error,
    gateway_error,
    of_json,
    with_header,
)
from batchgen.sandbox.served_file import remade, serve


def truncate(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """All bytes announced, half of them sent."""
    return Delivery(answer=answer, cut=True)


def short(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """Half of the bytes, announced as all of them."""
    return Delivery(answer=answer._replace(body=answer.body[: len(answer.body) // 2]))


def wrong_type(fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The right bytes under another Content-Type."""
    return Delivery(answer=answer._replace(content_type=fault.type))


def no_range(_fault: Fault, answer: Answer, call: Call) -> Delivery:
    """The whole file, whatever part was asked for."""
    return Delivery(answer=serve(call.file, {}) if call.file else answer)


def new_etag(_fault: Fault, answer: Answer, call: Call) -> Delivery:
    """Another file in the place of this one, with an ETag of its own."""
    return Delivery(answer=serve(remade(call.file), call.headers) if call.file else answer)


def expired_url(fault: Fault, answer: Answer, call: Call) -> Delivery:
    """The address is dead, until the result tells a fresh one."""
    if call.fresh:
        return Delivery(answer=answer)
    return Delivery(answer=gateway_error(fault.http), kills_link=True)


SAYING = "made to fail by the sandbox"
FOREIGN = "https://elsewhere.invalid/1.png"
"""Ends in a name that never resolves, so that nobody's host is called."""

_PAGE = b"<!doctype html><title>Just a moment</title><p>Checking your connection.</p>"


def close(_fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """The connection ends as if the server had gone."""
    return Delivery(answer=None)


def reset(_fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """The connection is torn down (TCP RST)."""
    return Delivery(answer=None, reset=True)


def hang(fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """Silence, then the end."""
    return Delivery(answer=None, delay_s=fault.for_s)


def slow(fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The answer, late."""
    return Delivery(answer=answer, delay_s=fault.delay_s)


def drip(fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The answer, drop by drop."""
    return Delivery(answer=answer, bytes_per_s=fault.bytes_per_s)


def chunked(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The answer without a Content-Length."""
    return Delivery(answer=answer, chunked=True)


def status(fault: Fault, _answer: Answer, call: Call) -> Delivery:
    """An HTTP status with a body of the shape that was asked for."""
    http = int(fault.do)
    shape = fault.body or ("error_code" if fault.code is not None else "message")
    answer = BODIES[shape](http, fault.code or http * 1000 + 1)
    if fault.retry_after is not None:
        answer = with_header(answer, "Retry-After", f"{fault.retry_after:g}")
    if fault.retry_after_date is not None:
        date = formatdate(call.now + fault.retry_after_date, usegmt=True)
        answer = with_header(answer, "Retry-After", date)
    return Delivery(answer=answer)


BODIES: Mapping[str, Callable[[int, int], Answer]] = {
    "message": lambda http, _code: gateway_error(http),
    "error_code": lambda http, code: of_json({"error_code": code, "error_message": SAYING}, http),
    "code": lambda http, code: of_json({"code": code, "error": SAYING}, http),
    "detail": lambda http, _code: of_json({"detail": SAYING}, http),
    "details": lambda http, _code: of_json(
        {"detail": [{"loc": ["body"], "msg": SAYING, "type": "sandbox"}]}, http
    ),
    "html": lambda http, _code: Answer(http, _PAGE, "text/html"),
    "empty": lambda http, _code: Answer(http, b""),
}
"""The bodies of HTTP errors that clients of the vendor read, from status and code."""


def error_code(fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """An error that comes as a success."""
    return Delivery(answer=BODIES["error_code"](200, fault.code or http_answer.BAD_INPUT))


def html(_fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """What a network in between shows to browsers."""
    return Delivery(answer=BODIES["html"](200, 0))


def empty(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """A success of no bytes."""
    return Delivery(answer=Answer(200, b"", answer.content_type))


def bad_json(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """Half of the body, announced as all of it."""
    return Delivery(answer=answer._replace(body=answer.body[: len(answer.body) // 2], code=None))


def redirect(fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """Somewhere else, which may be another host."""
    answer = Answer(fault.http, b"")
    if fault.to == "host":
        return Delivery(answer=with_header(answer, "Location", FOREIGN))
    return Delivery(answer=answer, moved=True)


def revoked(_fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """The token is no longer good."""
    return Delivery(answer=error(http_answer.BAD_TOKEN, "the token was revoked"))


def no_balance(_fault: Fault, _answer: Answer, _call: Call) -> Delivery:
    """The wallet is empty, whatever was in it."""
    return Delivery(answer=error(http_answer.NO_BALANCE, "the balance does not cover this job"))
