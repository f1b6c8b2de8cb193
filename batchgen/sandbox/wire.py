"""How deliveries leave over HTTP: whole, cut in half, or as a closed connection."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from batchgen.sandbox.answers import Answer, Delivery

MAX_BODY_BYTES = 64 * 2**20


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


async def send(request: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
    """Deliver, or hang up without a word."""
    answer = delivery.answer
    if answer is None:
        _hang_up(request)
        return web.Response()
    if delivery.cut:
        return await _send_half(request, answer)
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))


def _headers(answer: Answer) -> dict[str, str]:
    return {"Content-Type": answer.content_type, **(answer.headers or {})}


def _hang_up(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()


async def _send_half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Announce all of a body, send half of it, hang up."""
    headers = {**_headers(answer), "Content-Length": str(len(answer.body))}
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    _hang_up(request)
    return response
