"""The endpoints of the Model API, each from what was asked to what is delivered. No HTTP library.

Paths, fields and words are those of RunComfy docs (async queue endpoints, error codes) and, for
catalogue, balance and `include_cost`, of the vendor's CLI and ComfyUI nodes. A call is checked in
this order: token, fault rules, path, body, schema, balance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from batchgen.sandbox import answers
from batchgen.sandbox.answers import Answer, Delivery, error, of_json
from batchgen.sandbox.audit import Audit
from batchgen.sandbox.catalogue import Catalogue, Model, no_model
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.fault_table import On, spoil
from batchgen.sandbox.faults import Call, FaultPlan
from batchgen.sandbox.outputs import NO_FILE, file_of, output_of, serve
from batchgen.sandbox.queue import TicketState
from batchgen.sandbox.requests import Request, RequestBook, body_digest

_UNREADABLE = object()
_NOTHING = Answer(200, b"{}")


class Endpoints:
    """One instance per sandbox; `origin` is where it listens, such as http://127.0.0.1:8000."""

    def __init__(
        self,
        config: SandboxConfig,
        catalogue: Catalogue,
        book: RequestBook,
        audit: Audit,
        plan: FaultPlan,
        clock: Callable[[], float],
    ) -> None:
        self.origin = ""
        self._config = config
        self._catalogue = catalogue
        self._book = book
        self._audit = audit
        self._clock = clock
        self._plan = plan
        self._started_at = clock()

    def submit(self, model_id: str, raw: bytes, token: str) -> Delivery:
        """`POST /v1/models/{id}`; every accepted one is a new paid job."""
        body = _decoded(raw)
        digest = body_digest(model_id, raw.hex() if body is _UNREADABLE else body)
        model = self._catalogue.models.get(model_id)
        prompt = model.check.prompt(body) if model else ""
        posts = self._audit.count_post(digest, model_id, prompt)

        def carry_out() -> Answer:
            answer = self._refusal(model_id, model, body)
            if answer is None and model is not None and isinstance(body, dict):
                call = self._call(On.SUBMIT, f"{digest}#{self._book.attempts(digest) + 1}", prompt)
                request = self._book.accept(
                    model, body,
                    digest=digest, token=token, fate=self._plan.fate(call), now=self._clock(),
                )  # fmt: skip
                posts.accepted += 1
                answer = of_json(self._links(request, "status", "result", "cancel"))
            return answer or _NOTHING

        return self._deliver(On.SUBMIT, digest, prompt, carry_out)

    def _refusal(self, model_id: str, model: Model | None, body: object) -> Answer | None:
        if model is None:
            return no_model(model_id)
        if body is _UNREADABLE:
            detail: list[dict[str, object]] = [
                {"loc": ["body"], "msg": "the body is not JSON", "type": "json_invalid"}
            ]
        else:
            detail = model.check.problems(body)
        if detail:
            message = f"the input does not fit the model: {detail[0]['msg']}"
            return error(answers.BAD_INPUT, message, detail=detail)
        price = self._book.price_microusd(model, body) if isinstance(body, dict) else 0
        if self._book.balance_microusd < max(price, 1):
            return error(answers.NO_BALANCE, "the balance does not cover this job")
        return None

    def status(self, request_id: str, token: str) -> Delivery:
        """`GET /v1/requests/{id}/status`: the state in the queue, not how the job ended."""

        def tell(request: Request) -> Answer:
            ticket = request.ticket
            told: dict[str, object] = {"request_id": request_id, "status": ticket.state}
            if ticket.state is TicketState.IN_QUEUE:
                told["queue_position"] = self._book.queue.position(ticket)
            return of_json(told | self._links(request, "status", "result"))

        return self._about(On.STATUS, request_id, token, tell)

    def result(self, request_id: str, token: str, *, include_cost: bool) -> Delivery:
        """`GET /v1/requests/{id}/result`: 200 in every state, outputs only after success."""

        def tell(request: Request) -> Answer:
            ticket = request.ticket
            told: dict[str, object] = {"request_id": request_id, "status": ticket.state}
            cost_usd: float | None = None
            if ticket.state is TicketState.COMPLETED:
                cost_usd = self._tell_outcome(request, told)
            told["created_at"] = _timestamp(request.accepted_at)
            if ticket.finished_at is not None and ticket.state is not TicketState.IN_PROGRESS:
                told["finished_at"] = _timestamp(ticket.finished_at)
            if include_cost and cost_usd is not None:
                told["cost"] = cost_usd
            return of_json(told)

        return self._about(On.RESULT, request_id, token, tell)

    def _tell_outcome(self, request: Request, told: dict[str, object]) -> float | None:
        """Fill in how a finished job ended; the cost that it reports, in USD."""
        if not request.settled and self._plan.has_fates(On.RESULT):
            prompt = request.model.check.prompt(request.values)
            fate = self._plan.fate(self._call(On.RESULT, request.key, prompt))
            self._book.settle(request, fate, keep=True)
        fate = request.fate
        if fate is not None and fate.do == "failed":
            told["status"] = "failed"
            told["error"] = _FAILURES[fate.shape]
            return fate.cost_usd
        told["status"] = self._config.success_word
        told["output"] = output_of(request, self.origin) if fate is None else {}
        return request.price_microusd / 1_000_000

    def cancel(self, request_id: str, token: str) -> Delivery:
        """`POST /v1/requests/{id}/cancel`: only what still waits can be cancelled."""

        def carry_out(request: Request) -> Answer:
            taken = self._book.cancel(request, self._clock())
            # The documented sample says `completed` beside `cancelled`; only `outcome` has meaning.
            status = "completed" if taken else request.ticket.state
            outcome = "cancelled" if taken else "not_cancellable"
            return of_json({"request_id": request_id, "status": status, "outcome": outcome}, 202)

        return self._about(On.CANCEL, request_id, token, carry_out)

    def models(self, query: Mapping[str, str]) -> Delivery:
        """`GET /v1/models`: a page of the catalogue."""
        return self._deliver(On.CATALOGUE, "models", "", lambda: self._catalogue.listing(query))

    def categories(self) -> Delivery:
        """`GET /v1/models/categories`."""
        found = {"categories": self._catalogue.categories()}
        return self._deliver(On.CATALOGUE, "categories", "", lambda: of_json(found))

    def model(self, model_id: str) -> Delivery:
        """`GET /v1/models/{id}`: one entry with its schema and price."""
        return self._deliver(On.CATALOGUE, model_id, "", lambda: self._catalogue.one(model_id))

    def balance(self) -> Delivery:
        """`GET /prod/v2/balance`; on the live service this is on another host."""
        left = max(self._book.balance_microusd, 0)
        told = {"balance_microdollars": left, "balance_usd": left / 1_000_000, "currency": "USD"}
        return Delivery(answer=of_json(told))

    def file(self, request_id: str, name: str, headers: Mapping[str, str]) -> Delivery:
        """`GET /files/{request}/{name}`: an output; no token is asked for."""
        self._book.queue.advance(self._clock())
        request = self._book.requests.get(request_id)
        done = request is not None and request.ticket.state is TicketState.COMPLETED
        file = file_of(request, name) if request is not None and done and not request.fate else None
        if request is None or file is None:
            return self._deliver(On.FILE, f"{request_id}/{name}", "", lambda: NO_FILE)
        prompt = request.model.check.prompt(request.values)
        return self._deliver(On.FILE, f"{request.key}/{name}", prompt, lambda: serve(file, headers))

    def _about(
        self, on: On, request_id: str, token: str, tell: Callable[[Request], Answer]
    ) -> Delivery:
        """A call about one request, which must exist and belong to the token."""
        self._book.queue.advance(self._clock())
        request = self._book.requests.get(request_id)
        if request is None:
            missing = error(answers.UNKNOWN, f"request {request_id!r} does not exist")
            return self._deliver(on, request_id, "", lambda: missing)
        if request.token != token:
            refusal = error(answers.NOT_YOURS, "this request belongs to another user")
            return Delivery(answer=refusal)
        if not self._plan.watches(on):
            return Delivery(answer=tell(request))
        prompt = request.model.check.prompt(request.values)
        return self._deliver(on, request.key, prompt, lambda: tell(request))

    def _deliver(self, on: On, key: str, prompt: str, carry_out: Callable[[], Answer]) -> Delivery:
        """Carry a call out, unless and except as a fault rule has it."""
        fault = self._plan.fault(self._call(on, key, prompt)) if self._plan.watches(on) else None
        if fault is None:
            return Delivery(answer=carry_out())
        return spoil(fault, carry_out() if fault.acts else _NOTHING)

    def _call(self, on: On, key: str, prompt: str) -> Call:
        elapsed_s = self._clock() - self._started_at
        return Call(on=on, key=key, prompt=prompt, elapsed_s=elapsed_s)

    def _links(self, request: Request, *names: str) -> dict[str, object]:
        base = f"{self.origin}/v1/requests/{request.request_id}"
        links: dict[str, object] = {"request_id": request.request_id}
        for name in names:
            links[f"{name}_url"] = f"{base}/{name}"
        return links


_FAILURES: Mapping[str, object] = {
    "string": "the rehearsal made this job fail",
    "object": {"type": "generation_error", "message": "the rehearsal made this job fail"},
    "list": [{"errorCode": 500001, "error": "the rehearsal made this job fail", "debugInfo": ""}],
}
"""The shapes of `error` that clients of the vendor read."""


def _decoded(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREADABLE


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
