"""The endpoints of the Model API: the answer to each call from its arguments. No HTTP library.

Paths, fields and words are those of RunComfy docs (async queue endpoints, error codes) and, for
catalogue, balance and `include_cost`, of the vendor's CLI and ComfyUI nodes. A call is checked in
this order: token, fault rules, path, body, schema, balance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.sandbox import http_answer
from batchgen.sandbox.audit import Audit
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.faults.kinds import Body, Call, Edit, On, error_of
from batchgen.sandbox.faults.rules import FaultPlan
from batchgen.sandbox.faults.table import answer_with, ending_of
from batchgen.sandbox.http_answer import Answer, error, gateway_error, of_json
from batchgen.sandbox.model_catalogue import Model, SandboxCatalogue, no_model
from batchgen.sandbox.remote_queue import RemoteQueue, TicketState
from batchgen.sandbox.request_book import Request, RequestBook, body_digest
from batchgen.sandbox.served_file import serve

_UNREADABLE = object()
_NOTHING = Answer(200, b"{}")
_NO_FILE = gateway_error(404)

FRESH = "fresh=1"
"""The query of addresses that are given out after the first ones have expired."""


class Endpoints:
    """The endpoints of one sandbox; `origin` is its address, such as http://127.0.0.1:8000."""

    def __init__(
        self,
        config: SandboxConfig,
        catalogue: SandboxCatalogue,
        book: RequestBook,
        plan: FaultPlan,
        clock: Callable[[], float],
    ) -> None:
        self.origin = ""
        self._config = config
        self._catalogue = catalogue
        self.book = book
        self.audit = Audit(book, clock)
        self._clock = clock
        self._plan = plan
        self._started_at = clock()

    def submit(self, model_id: str, raw: bytes, token: str) -> Answer:
        """Answer `POST /v1/models/{id}`; every accepted one is a new paid job."""
        body = _decoded(raw)
        digest = body_digest(model_id, raw.hex() if body is _UNREADABLE else body)
        model = self._catalogue.models.get(model_id)
        prompt = model.check.prompt(body) if model else ""
        posts = self.audit.count_post(digest, model_id, prompt)

        def carry_out() -> Answer:
            if model is None:
                return no_model(model_id)
            refusal = self._refusal(model, body)
            if refusal is not None or not isinstance(body, dict):
                return refusal or _NOTHING
            key = f"{digest}#{self.book.attempts[digest] + 1}"
            request = self.book.accept(
                model,
                body,
                digest=digest,
                token=token,
                fate=self._plan.fate(self._call(On.SUBMIT, key, prompt, model_id)),
                now=self._clock(),
            )
            posts.accepted += 1
            return of_json(_links(self.origin, request.request_id))

        return self._answer(self._call(On.SUBMIT, digest, prompt, model_id), carry_out)

    def _refusal(self, model: Model, body: object) -> Answer | None:
        problems: list[dict[str, object]] = (
            [{"loc": ["body"], "msg": "the body is not JSON", "type": "json_invalid"}]
            if body is _UNREADABLE
            else model.check.problems(body)
        )
        if problems:
            message = f"the input does not fit the model: {problems[0]['msg']}"
            return error(http_answer.BAD_INPUT, message, detail=problems)
        price = self.book.price_microusd(model, body) if isinstance(body, dict) else 0
        if self.book.balance_microusd < max(price, 1):
            return error(http_answer.NO_BALANCE, "the balance does not cover this job")
        return None

    def status(self, request_id: str, token: str) -> Answer:
        """Answer `GET /v1/requests/{id}/status`: the state in the queue, not how the job ended."""
        return self._about(
            On.STATUS,
            request_id,
            token,
            lambda request: of_json(_status_body(self.origin, request, self.book.queue)),
        )

    def result(self, request_id: str, token: str, *, include_cost: bool) -> Answer:
        """Answer `GET /v1/requests/{id}/result`: 200 in every state, outputs only after success."""
        word = self._config.success_word

        def answer(request: Request) -> Answer:
            return of_json(
                _result_body(self.origin, request, success_word=word, include_cost=include_cost)
            )

        return self._about(On.RESULT, request_id, token, answer)

    def cancel(self, request_id: str, token: str) -> Answer:
        """Answer `POST /v1/requests/{id}/cancel`: only a job that still waits can be cancelled."""

        def carry_out(request: Request) -> Answer:
            cancelled = self.book.cancel(request, self._clock())
            # The documented sample says `completed` beside `cancelled`; only `outcome` has meaning.
            status = "completed" if cancelled else request.ticket.state
            outcome = "cancelled" if cancelled else "not_cancellable"
            return of_json({"request_id": request_id, "status": status, "outcome": outcome}, 202)

        return self._about(On.CANCEL, request_id, token, carry_out)

    def models(self, query: Mapping[str, str]) -> Answer:
        """Answer `GET /v1/models`: a page of the catalogue, `PAGE_LIMIT` entries at most."""
        return self._entries("models", None, lambda edit: self._catalogue.listing(query, edit))

    def categories(self) -> Answer:
        """Answer `GET /v1/models/categories`."""
        categories = of_json({"categories": self._catalogue.categories()})
        return self._entries("categories", "", lambda _edit: categories)

    def model(self, model_id: str) -> Answer:
        """Answer `GET /v1/models/{id}`: one entry with its schema and price."""
        return self._entries(model_id, model_id, lambda edit: self._catalogue.one(model_id, edit))

    def balance(self) -> Answer:
        """Answer `GET /prod/v2/balance`; on the live service this is on another host."""
        left = max(self.book.balance_microusd, 0)
        body = {"balance_microdollars": left, "balance_usd": left / 1_000_000, "currency": "USD"}
        return self._answer(self._call(On.BALANCE, "balance"), lambda: of_json(body))

    def file(self, request_id: str, name: str, query: str, headers: Mapping[str, str]) -> Answer:
        """Answer `GET /files/{request}/{name}`: an output; needs no token."""
        self.book.queue.advance(self._clock())
        request = self.book.requests.get(request_id)
        file = request.file(name) if request is not None and self._has_outputs(request) else None
        if request is None or file is None:
            return self._answer(self._call(On.FILE, f"{request_id}/{name}"), lambda: _NO_FILE)
        fresh = query == FRESH
        if request.dead_link is not None and not fresh:
            return request.dead_link
        call = self._call_about(On.FILE, request, f"{request.key}/{name}")
        call.file, call.headers, call.fresh = file, headers, fresh
        answer = self._answer(call, lambda: serve(file, headers))
        if answer.kills_link:
            request.dead_link = answer
        return answer

    def _has_outputs(self, request: Request) -> bool:
        completed = request.ticket.state is TicketState.COMPLETED
        return completed and ending_of(request.fate).has_outputs and not self._is_forgotten(request)

    def _is_forgotten(self, request: Request) -> bool:
        """Return whether the request has expired."""
        fate = request.fate
        if fate is None or not ending_of(fate).forgets:
            return False
        return self._clock() >= request.accepted.at + fate.after_s

    def _settle(self, request: Request) -> None:
        """Decide how a job ended, when its result is first asked for after its end."""
        if not request.settled and request.ticket.state is TicketState.COMPLETED:
            fate = self._plan.fate(self._call_about(On.RESULT, request, request.key))
            self.book.settle(request, fate)

    def _about(
        self, on: On, request_id: str, token: str, answer: Callable[[Request], Answer]
    ) -> Answer:
        """Answer a call about one request, which must exist and belong to the token."""
        self.book.queue.advance(self._clock())
        request = self.book.requests.get(request_id)
        if request is None:
            return self._unknown(on, request_id)
        if request.accepted.token != token:
            message = "this request belongs to another user"
            return error(http_answer.NOT_YOURS, message)
        if on is On.RESULT and self._plan.ends_jobs(on):
            self._settle(request)
        if self._is_forgotten(request):
            return self._unknown(on, request_id)
        return self._answer(self._call_about(on, request, request.key), lambda: answer(request))

    def _unknown(self, on: On, request_id: str) -> Answer:
        missing = error(http_answer.UNKNOWN, f"request {request_id!r} does not exist")
        return self._answer(self._call(on, request_id), lambda: missing)

    def _entries(self, key: str, model: str | None, entries: Callable[[Edit], Answer]) -> Answer:
        """Answer a call of the catalogue."""
        call = self._call(On.CATALOGUE, key, model=model)
        call.entries = entries
        return self._answer(call, lambda: entries(lambda entry: entry))

    def _answer(self, call: Call, carry_out: Callable[[], Answer]) -> Answer:
        """Carry a call out, with the fault that the rules have for it."""
        fault = self._plan.fault(call)
        if fault is None:
            return carry_out()
        return answer_with(fault, carry_out() if fault.accepted else _NOTHING, call)

    def _call(self, on: On, key: str, prompt: str = "", model: str | None = "") -> Call:
        now = self._clock()
        return Call(
            on=on,
            key=key,
            prompt=prompt,
            model=model,
            elapsed_s=now - self._started_at,
            now=now,
            origin=self.origin,
        )

    def _call_about(self, on: On, request: Request, key: str) -> Call:
        call = self._call(on, key, request.prompt, request.model.entry.model_id)
        call.request_id, call.values = request.request_id, request.accepted.input
        return call


def _decoded(raw: bytes) -> object:
    try:
        return decode_json(raw) if raw else {}
    except BadJSON:
        return _UNREADABLE


def _links(origin: str, request_id: str) -> Body:
    """Return the body of an accepted submission: the request_id and the addresses about it."""
    base = f"{origin}/v1/requests/{request_id}"
    names = ("status", "result", "cancel")
    return {"request_id": request_id, **{f"{name}_url": f"{base}/{name}" for name in names}}


def _status_body(origin: str, request: Request, queue: RemoteQueue) -> Body:
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


def _result_body(origin: str, request: Request, *, success_word: str, include_cost: bool) -> Body:
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
