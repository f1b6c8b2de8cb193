"""The JSON bodies about one request: links, state, result.

The files that finished jobs point to.

Nothing is kept: a file is drawn when it is asked for, always the same bytes for the same job.
Image models give PNGs, audio models a second of silence as WAV. Video models give a PNG as well:
no video can be made without an encoder, and nothing that only calls itself one is served.
"""

from __future__ import annotations

import io
import wave
from datetime import UTC, datetime
from functools import cache, lru_cache

from batchgen.sandbox.faults.json_faults import error_of
from batchgen.sandbox.faults.table import ending_of
from batchgen.sandbox.http_answer import gateway_error
from batchgen.sandbox.pictures import draw, size_of
from batchgen.sandbox.remote_queue import RemoteQueue, TicketState
from batchgen.sandbox.request_book import Request
from batchgen.sandbox.served_file import File, file_with

FRESH = "fresh=1"
"""The query of addresses that are told after the first ones have died."""


def output_of(request: Request, base: str) -> dict[str, object]:
    """The `output` of a good result: one URL under `image`, several under `images`, and so on."""
    suffix = "wav" if request.model.kind == "audio" else "png"
    query = "" if request.dead_link is None else f"?{FRESH}"
    urls = [
        f"{base}/files/{request.request_id}/{index}.{suffix}{query}"
        for index in range(1, request.outputs + 1)
    ]
    kind = request.model.kind
    plural = "audios" if kind == "audio" else f"{kind}s"
    return {kind: urls[0]} if len(urls) == 1 else {plural: urls}


def file_of(request: Request, name: str) -> File | None:
    """The output of a job under its name in the URL (`1.png`); None where there is none."""
    number, _, suffix = name.partition(".")
    if not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= request.outputs:
        return None
    if request.model.kind == "audio":
        return file_with(_silence(), "audio/wav") if suffix == "wav" else None
    if suffix != "png":
        return None
    key = f"{request.digest}/{request.attempt}/{int(number)}"
    return _picture(key, *size_of(request.values))


@lru_cache(maxsize=256)
def _picture(key: str, width: int, height: int) -> File:
    return file_with(draw(key, width, height), "image/png")


@cache
def _silence() -> bytes:
    """A second of silence, 8 kHz, mono, 8 bit."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000)
    return buffer.getvalue()


NO_FILE = gateway_error(404)

Body = dict[str, object]


def links(origin: str, request_id: str, *names: str) -> Body:
    """The request_id and the addresses of these calls about it."""
    base = f"{origin}/v1/requests/{request_id}"
    return {"request_id": request_id, **{f"{name}_url": f"{base}/{name}" for name in names}}


def status_body(origin: str, request: Request, queue: RemoteQueue) -> Body:
    """The state in the queue; `completed` says nothing about how the job ended."""
    ticket = request.ticket
    told: Body = {"request_id": request.request_id, "status": ticket.state}
    if ticket.state is TicketState.IN_QUEUE:
        told["queue_position"] = queue.position(ticket)
    elif request.fate is not None and ticket.state is TicketState.COMPLETED:
        told["status"] = request.fate.word or ticket.state
    # The call that is made most by far: no loop over names.
    base = f"{origin}/v1/requests/{request.request_id}"
    told["status_url"] = f"{base}/status"
    told["result_url"] = f"{base}/result"
    return told


def result_body(origin: str, request: Request, *, success_word: str, include_cost: bool) -> Body:
    """The state, and how a finished job ended."""
    ticket = request.ticket
    told: Body = {"request_id": request.request_id, "status": ticket.state}
    cost_usd: float | None = None
    if ticket.state is TicketState.COMPLETED:
        cost_usd = _tell_ending(origin, request, told, success_word)
    told["created_at"] = _timestamp(request.accepted_at)
    if ticket.finished_at is not None and ticket.state is not TicketState.IN_PROGRESS:
        told["finished_at"] = _timestamp(ticket.finished_at)
    if include_cost and cost_usd is not None:
        told["cost"] = cost_usd
    return told


def _tell_ending(origin: str, request: Request, told: Body, success_word: str) -> float | None:
    """Fill in how a job ended; the cost that it reports, in USD."""
    fate = request.fate
    ending = ending_of(fate)
    if fate is not None and ending.fails:
        told["status"] = "failed"
        told.update(error_of(fate))
        return fate.cost_usd
    told["status"] = success_word
    told["output"] = output_of(request, origin) if ending.has_outputs else {}
    return request.price_microusd / 1_000_000


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
