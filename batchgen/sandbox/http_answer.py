"""One HTTP answer of the sandbox as a value, how it is delivered, and the API's error answers.

The codes are those of RunComfy docs: error codes. How the body of an error looks and which HTTP
status goes with a code is not printed there; here it is the first three digits of the code, unless
another `ErrorStyle` is asked for.

How deliveries leave over HTTP: whole, in parts, in drops, or as a connection that ends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

JSON_TYPE = "application/json"

MALFORMED_ID = 400001
NO_BALANCE = 400002
BAD_TOKEN = 400004
NOT_YOURS = 403001
UNKNOWN = 404001
BAD_INPUT = 422001

_encode = msgspec.json.Encoder().encode


class ErrorStyle(StrEnum):
    """How errors of the API reach the client; clients of the vendor are ready for each."""

    CODES = "codes"
    """The code in the body, its first three digits as HTTP status."""
    STATUSES = "statuses"
    """A bad token is 401 and an empty wallet 402, both without a code; the others as above."""
    HTTP_200 = "http-200"
    """The code in the body of an HTTP 200."""


class Answer(NamedTuple):
    """Status, body and headers of one answer. A tuple: one is made for every call."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] | None = None
    code: int | None = None
    """The API's own error code, where this is one of its errors."""


class Delivery(NamedTuple):
    """How an answer reaches the client, if it does. A tuple as well."""

    answer: Answer | None
    """None: the connection is closed without one."""
    delay_s: float = 0.0
    """Seconds before anything of it leaves."""
    cut: bool = False
    """Whether the connection is closed in the middle of the body."""
    reset: bool = False
    """Whether a connection without an answer is reset (TCP RST), not closed."""
    chunked: bool = False
    """Whether the body goes without a Content-Length."""
    bytes_per_s: float | None = None
    """The body in drops, so many bytes a second."""
    moved: bool = False
    """Whether Location is to name what was asked for under its other path."""
    kills_link: bool = False
    """Whether the address that was asked for is dead from now on."""


def of_json(payload: object, status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, _encode(payload))


def error(code: int, message: str, **more: object) -> Answer:
    """An error of the API, HTTP status being the first three digits of its code."""
    body = _encode({"error_code": code, "error_message": message, **more})
    return Answer(code // 1000, body, code=code)


def styled(answer: Answer, style: ErrorStyle) -> Answer:
    """An error of the API in another style; other answers as they are."""
    if answer.code is None:
        return answer
    if style is ErrorStyle.HTTP_200:
        return answer._replace(status=200)
    status = {BAD_TOKEN: 401, NO_BALANCE: 402}.get(answer.code)
    return gateway_error(status) if status and style is ErrorStyle.STATUSES else answer


def phrase(status: int) -> str:
    """The words that go with an HTTP status."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "error"


def gateway_error(status: int) -> Answer:
    """An error of what stands before the API: a bare message without a code."""
    return of_json({"message": phrase(status)}, status)


def with_header(answer: Answer, name: str, value: str) -> Answer:
    """The same answer with one header more."""
    return answer._replace(headers={**(answer.headers or {}), name: value})


MAX_BODY_BYTES = 64 * 2**20
MOVED = "/moved"
"""In front of any path it means the same; where redirects lead."""
DROPS_PER_S = 10

Sleep = Callable[[float], Awaitable[None]]


def sized_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """A request that may carry pictures as data URIs; aiohttp's own limit is 1 MiB."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES
    )


async def send(request: web.BaseRequest, delivery: Delivery, sleep: Sleep) -> web.StreamResponse:
    """Deliver, or hang up without a word."""
    answer = delivery.answer
    if answer is None:
        _hang_up(request, reset=delivery.reset)
        return web.Response()
    try:
        if delivery.cut:
            return await _send_half(request, answer)
        if delivery.chunked:
            return await _send_chunked(request, answer)
        if delivery.bytes_per_s is not None:
            return await _send_drops(request, answer, delivery.bytes_per_s, sleep)
    except ConnectionResetError:
        return web.Response()  # the other side was killed: nobody is left to hear of it
    headers = _headers(answer)
    if delivery.moved:
        headers["Location"] = MOVED + request.raw_path
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _headers(answer: Answer) -> dict[str, str]:
    return {"Content-Type": answer.content_type, **(answer.headers or {})}


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


async def _begin(
    request: web.BaseRequest, answer: Answer, *, sized: bool = True
) -> web.StreamResponse:
    headers = _headers(answer)
    if sized:
        headers["Content-Length"] = str(len(answer.body))
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    return response


async def _send_half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Announce all of a body, send half of it, hang up."""
    response = await _begin(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    _hang_up(request)
    return response


async def _send_chunked(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Without a Content-Length, HTTP/1.1 has no other way than chunks."""
    response = await _begin(request, answer, sized=False)
    await response.write(answer.body)
    await response.write_eof()
    return response


async def _send_drops(
    request: web.BaseRequest, answer: Answer, bytes_per_s: float, sleep: Sleep
) -> web.StreamResponse:
    response = await _begin(request, answer)
    size = max(1, round(bytes_per_s / DROPS_PER_S))
    for start in range(0, len(answer.body), size):
        drop = answer.body[start : start + size]
        await response.write(drop)
        await sleep(len(drop) / bytes_per_s)
    await response.write_eof()
    return response
