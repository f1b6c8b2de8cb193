"""The JSON bodies of answers about one request: links, state, result."""

from __future__ import annotations

from datetime import UTC, datetime

from batchgen.sandbox.faults.table import ending_of, error_of
from batchgen.sandbox.remote_queue import RemoteQueue, TicketState
from batchgen.sandbox.request_book import Request

FRESH = "fresh=1"
"""The query of addresses that are given out after the first ones have expired."""

Body = dict[str, object]


def links(origin: str, request_id: str) -> Body:
    """Return the body of an accepted submission: the request_id and the addresses about it."""
    base = f"{origin}/v1/requests/{request_id}"
    names = ("status", "result", "cancel")
    return {"request_id": request_id, **{f"{name}_url": f"{base}/{name}" for name in names}}


def status_body(origin: str, request: Request, queue: RemoteQueue) -> Body:
    """Return the state in the queue; `completed` does not say how the job ended."""
    ticket = request.ticket
    body: Body = {"request_id": request.request_id, "status": ticket.state}
    if ticket.state is TicketState.IN_QUEUE:
        body["queue_position"] = queue.position(ticket)
    elif request.fate is not None and ticket.state is TicketState.COMPLETED:
        body["status"] = request.fate.word or ticket.state
    base = f"{origin}/v1/requests/{request.request_id}"
    body["status_url"] = f"{base}/status"
    body["result_url"] = f"{base}/result"
    return body


def result_body(origin: str, request: Request, *, success_word: str, include_cost: bool) -> Body:
    """Return the state, and how a finished job ended."""
    ticket = request.ticket
    body: Body = {"request_id": request.request_id, "status": ticket.state}
    cost_usd: float | None = None
    if ticket.state is TicketState.COMPLETED:
        ending, cost_usd = _ending(origin, request, success_word)
        body |= ending
    body["created_at"] = _timestamp(request.accepted.at)
    if ticket.finished_at is not None and ticket.state is not TicketState.IN_PROGRESS:
        body["finished_at"] = _timestamp(ticket.finished_at)
    if include_cost and cost_usd is not None:
        body["cost"] = cost_usd
    return body


def _ending(origin: str, request: Request, success_word: str) -> tuple[Body, float | None]:
    """Return how a job ended, and the cost that its result reports, in USD."""
    ending = ending_of(request.fate)
    if request.fate is not None and ending.fails:
        return {"status": "failed", **error_of(request.fate)}, request.fate.cost_usd
    output = _output(origin, request) if ending.has_outputs else {}
    return {"status": success_word, "output": output}, request.accepted.price_microusd / 1_000_000


def _output(origin: str, request: Request) -> Body:
    """Return one URL under `image`, several under `images`, and so on for other kinds."""
    query = "" if request.dead_link is None else f"?{FRESH}"
    base = f"{origin}/files/{request.request_id}"
    urls = [f"{base}/{name}{query}" for name in request.file_names]
    kind = request.model.kind
    return {kind: urls[0]} if len(urls) == 1 else {f"{kind}s": urls}


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
