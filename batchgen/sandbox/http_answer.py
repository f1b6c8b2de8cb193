"""HTTP answers of the sandbox: as values, as errors of the API, and on their way to the client.

The codes are those of RunComfy docs: error codes. The docs do not say which body and which HTTP
status an error has; here the status is the first three digits of the code, unless another
`ErrorStyle` is asked for.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from aiohttp import web

MALFORMED_ID = 400001
NO_BALANCE = 400002
BAD_TOKEN = 400004
NOT_YOURS = 403001
UNKNOWN = 404001
BAD_INPUT = 422001

MOVED = "/moved"
"""A prefix that any path may have without a change of meaning; redirects lead to such paths."""
CHUNKS_PER_S = 10

Sleep = Callable[[float], Awaitable[None]]

_encode = msgspec.json.Encoder().encode


class ErrorStyle(StrEnum):
    """The form of the API's errors; the vendor's clients are ready for each."""

    CODES = "codes"
    """The code in the body, its first three digits as HTTP status."""
    STATUSES = "statuses"
    """A bad token is 401 and an empty wallet 402, both without a code; the others as above."""
    HTTP_200 = "http-200"
    """The code in the body of an HTTP 200."""


class Answer(NamedTuple):
    """One answer and its way to the client. A tuple, because one is made for every call."""

    status: int
    """0 if the connection is closed without an answer."""
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    code: int | None = None
    """The API's own error code, if this is one of its errors."""
    delay_s: float = 0.0
    """Seconds before any of it is sent."""
    cut: bool = False
    """True if the connection is closed in the middle of the body."""
    reset: bool = False
    """True if a connection without an answer is reset (TCP RST), not closed."""
    chunked: bool = False
    """True if the body is sent without a Content-Length."""
    bytes_per_s: float | None = None
    """The speed of a body that is sent slowly."""
    moved: bool = False
    """True if Location names the other path of what was asked for."""
    kills_link: bool = False
    """True if the address that was asked for is dead from now on."""


CLOSED = Answer(0, b"")
"""No answer: the connection is closed."""


def of_json(payload: object, status: int = 200) -> Answer:
    """Return a JSON answer."""
    return Answer(status, _encode(payload))


def error(code: int, message: str, **more: object) -> Answer:
    """Return an error of the API; its HTTP status is the first three digits of the code."""
    body = _encode({"error_code": code, "error_message": message, **more})
    return Answer(code // 1000, body, code=code)


def styled(answer: Answer, style: ErrorStyle) -> Answer:
    """Return an error of the API in another style; other answers as they are."""
    if answer.code is None:
        return answer
    if style is ErrorStyle.HTTP_200:
        return answer._replace(status=200)
    status = {BAD_TOKEN: 401, NO_BALANCE: 402}.get(answer.code)
    if status is None or style is not ErrorStyle.STATUSES:
        return answer
    return answer._replace(status=status, body=gateway_error(status).body)


def gateway_error(status: int) -> Answer:
    """Return an error of a gateway in front of the API: a bare message without a code."""
    known = status in HTTPStatus._value2member_map_
    return of_json({"message": HTTPStatus(status).phrase if known else "error"}, status)


def with_header(answer: Answer, name: str, value: str) -> Answer:
    """Return the same answer with one more header."""
    return answer._replace(headers={**(answer.headers or {}), name: value})


async def send(request: web.BaseRequest, answer: Answer, sleep: Sleep) -> web.StreamResponse:
    """Send an answer on its way, or end the connection without one."""
    if not answer.status:
        _hang_up(request, reset=answer.reset)
        return web.Response()
    headers = {"Content-Type": answer.content_type, **(answer.headers or {})}
    if answer.moved:
        headers["Location"] = MOVED + request.raw_path
    if not (answer.cut or answer.chunked or answer.bytes_per_s):
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    # Without a Content-Length, HTTP/1.1 has no other way than chunks.
    if not answer.chunked:
        headers["Content-Length"] = str(len(answer.body))
    response = web.StreamResponse(status=answer.status, headers=headers)
    try:
        await response.prepare(request)
        await _send_body(request, response, answer, sleep)
    except ConnectionResetError:
        return web.Response()  # the client was killed: nobody is left to read this
    return response


async def _send_body(
    request: web.BaseRequest, response: web.StreamResponse, answer: Answer, sleep: Sleep
) -> None:
    body, speed = answer.body, answer.bytes_per_s
    if answer.cut:
        await response.write(body[: len(body) // 2])
        _hang_up(request)
        return
    size = max(1, round(speed / CHUNKS_PER_S)) if speed else max(1, len(body))
    for start in range(0, len(body), size):
        chunk = body[start : start + size]
        await response.write(chunk)
        if speed:
            await sleep(len(chunk) / speed)
    await response.write_eof()


def _hang_up(request: web.BaseRequest, *, reset: bool = False) -> None:
    if request.transport is None:
        return
    if not reset:
        request.transport.close()
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        # Lingering for no time makes the system send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
