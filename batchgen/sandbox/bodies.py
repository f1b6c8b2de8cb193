"""The JSON bodies about one request: links, state, result."""

from __future__ import annotations

from datetime import UTC, datetime

from batchgen.sandbox.failures import error_of
from batchgen.sandbox.fault_table import ending_of
from batchgen.sandbox.outputs import output_of
from batchgen.sandbox.queue import JobQueue, TicketState
from batchgen.sandbox.requests import Request

Body = dict[str, object]


def links(origin: str, request_id: str, *names: str) -> Body:
    """The request_id and the addresses of these calls about it."""
    base = f"{origin}/v1/requests/{request_id}"
    return {"request_id": request_id, **{f"{name}_url": f"{base}/{name}" for name in names}}


def status_body(origin: str, request: Request, queue: JobQueue) -> Body:
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
