"""How deliveries leave over HTTP: whole, in parts, in drops, or as a connection that ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from batchgen.sandbox.answers import Answer, Delivery

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
