"""The endpoints of the Model API, each from what was asked to what is delivered. No HTTP library.

Paths, fields and words are those of RunComfy docs (async queue endpoints, error codes) and, for
catalogue, balance and `include_cost`, of the vendor's CLI and ComfyUI nodes. A call is checked in
this order: token, fault rules, path, body, schema, balance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from batchgen.sandbox import http_answer
from batchgen.sandbox.audit import Audit
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.faults.kinds import Call, Fault, On
from batchgen.sandbox.faults.rules import FaultPlan
from batchgen.sandbox.faults.table import ending_of, spoil
from batchgen.sandbox.http_answer import Answer, Delivery, error, of_json
from batchgen.sandbox.model_catalogue import Model, SandboxCatalogue, no_model
from batchgen.sandbox.remote_queue import TicketState
from batchgen.sandbox.request_book import Request, RequestBook, body_digest
from batchgen.sandbox.response_bodies import (
    FRESH,
    NO_FILE,
    file_of,
    links,
    result_body,
    status_body,
)
from batchgen.sandbox.served_file import serve

_UNREADABLE = object()
_NOTHING = Answer(200, b"{}")


class Endpoints:
    """One instance per sandbox; `origin` is where it listens, such as http://127.0.0.1:8000."""

    def __init__(
        self,
        config: SandboxConfig,
        catalogue: SandboxCatalogue,
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
                request = self._book.accept(
                    model, body,
                    digest=digest, token=token, fate=self._fate(digest, prompt, model_id),
                    now=self._clock(),
                )  # fmt: skip
                posts.accepted += 1
                answer = of_json(
                    links(self.origin, request.request_id, "status", "result", "cancel")
                )
            return answer or _NOTHING

        if not self._plan.watches(On.SUBMIT):
            return Delivery(answer=carry_out())
        return self._deliver(self._call(On.SUBMIT, digest, prompt, model_id), carry_out)

    def _fate(self, digest: str, prompt: str, model_id: str) -> Fault | None:
        """How the next job of this body ends badly."""
        if not self._plan.has_fates(On.SUBMIT):
            return None
        key = f"{digest}#{self._book.attempts(digest) + 1}"
        return self._plan.fate(self._call(On.SUBMIT, key, prompt, model_id))

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
            return error(http_answer.BAD_INPUT, message, detail=detail)
        price = self._book.price_microusd(model, body) if isinstance(body, dict) else 0
        if self._book.balance_microusd < max(price, 1):
            return error(http_answer.NO_BALANCE, "the balance does not cover this job")
        return None

    def status(self, request_id: str, token: str) -> Delivery:
        """`GET /v1/requests/{id}/status`: the state in the queue, not how the job ended."""
        return self._about(
            On.STATUS, request_id, token,
            lambda request: of_json(status_body(self.origin, request, self._book.queue)),
        )  # fmt: skip

    def result(self, request_id: str, token: str, *, include_cost: bool) -> Delivery:
        """`GET /v1/requests/{id}/result`: 200 in every state, outputs only after success."""
        word = self._config.success_word

        def tell(request: Request) -> Answer:
            return of_json(
                result_body(self.origin, request, success_word=word, include_cost=include_cost)
            )

        return self._about(On.RESULT, request_id, token, tell)

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
        call = self._call(On.CATALOGUE, "models", model=None)
        call.entries = lambda edit: self._catalogue.listing(query, edit)
        return self._deliver(call, lambda: self._catalogue.listing(query))

    def categories(self) -> Delivery:
        """`GET /v1/models/categories`."""
        found = of_json({"categories": self._catalogue.categories()})
        call = self._call(On.CATALOGUE, "categories")
        call.entries = lambda _edit: found
        return self._deliver(call, lambda: found)

    def model(self, model_id: str) -> Delivery:
        """`GET /v1/models/{id}`: one entry with its schema and price."""
        call = self._call(On.CATALOGUE, model_id, model=model_id)
        call.entries = lambda edit: self._catalogue.one(model_id, edit)
        return self._deliver(call, lambda: self._catalogue.one(model_id))

    def balance(self) -> Delivery:
        """`GET /prod/v2/balance`; on the live service this is on another host."""
        left = max(self._book.balance_microusd, 0)
        told = {"balance_microdollars": left, "balance_usd": left / 1_000_000, "currency": "USD"}
        return self._deliver(self._call(On.BALANCE, "balance"), lambda: of_json(told))

    def file(self, request_id: str, name: str, query: str, headers: Mapping[str, str]) -> Delivery:
        """`GET /files/{request}/{name}`: an output; no token is asked for."""
        self._book.queue.advance(self._clock())
        request = self._book.requests.get(request_id)
        done = request is not None and request.ticket.state is TicketState.COMPLETED
        there = done and request is not None and self._has_outputs(request)
        file = file_of(request, name) if request is not None and there else None
        if request is None or file is None:
            return self._deliver(self._call(On.FILE, f"{request_id}/{name}"), lambda: NO_FILE)
        fresh = query == FRESH
        if request.dead_link is not None and not fresh:
            return Delivery(answer=request.dead_link)
        if not self._plan.watches(On.FILE):
            return Delivery(answer=serve(file, headers))
        call = self._call_about(On.FILE, request, f"{request.key}/{name}")
        call.file, call.headers, call.fresh = file, headers, fresh
        delivery = self._deliver(call, lambda: serve(file, headers))
        if delivery.kills_link:
            request.dead_link = delivery.answer
        return delivery

    def _has_outputs(self, request: Request) -> bool:
        return ending_of(request.fate).has_outputs and not self._is_forgotten(request)

    def _is_forgotten(self, request: Request) -> bool:
        """Whether the request has expired."""
        fate = request.fate
        if fate is None or not ending_of(fate).forgets:
            return False
        return self._clock() >= request.accepted_at + fate.after_s

    def _settle(self, request: Request) -> None:
        """Decide how a job ended when its result is first asked for after its end."""
        if not request.settled and request.ticket.state is TicketState.COMPLETED:
            fate = self._plan.fate(self._call_about(On.RESULT, request, request.key))
            self._book.settle(request, fate, keep=True)

    def _about(
        self, on: On, request_id: str, token: str, tell: Callable[[Request], Answer]
    ) -> Delivery:
        """A call about one request, which must exist and belong to the token."""
        self._book.queue.advance(self._clock())
        request = self._book.requests.get(request_id)
        if request is None:
            return self._unknown(on, request_id)
        if request.token != token:
            refusal = error(http_answer.NOT_YOURS, "this request belongs to another user")
            return Delivery(answer=refusal)
        if on is On.RESULT and self._plan.has_fates(on):
            self._settle(request)
        if request.fate is not None and self._is_forgotten(request):
            return self._unknown(on, request_id)
        if not self._plan.watches(on):
            return Delivery(answer=tell(request))
        return self._deliver(self._call_about(on, request, request.key), lambda: tell(request))

    def _unknown(self, on: On, request_id: str) -> Delivery:
        missing = error(http_answer.UNKNOWN, f"request {request_id!r} does not exist")
        return self._deliver(self._call(on, request_id), lambda: missing)

    def _deliver(self, call: Call, carry_out: Callable[[], Answer]) -> Delivery:
        """Carry a call out, unless and except as a fault rule has it."""
        fault = self._plan.fault(call) if self._plan.watches(call.on) else None
        if fault is None:
            return Delivery(answer=carry_out())
        return spoil(fault, carry_out() if fault.acts else _NOTHING, call)

    def _call(self, on: On, key: str, prompt: str = "", model: str | None = "") -> Call:
        now = self._clock()
        elapsed_s = now - self._started_at
        return Call(
            on=on, key=key, prompt=prompt, model=model,
            elapsed_s=elapsed_s, now=now, origin=self.origin,
        )  # fmt: skip

    def _call_about(self, on: On, request: Request, key: str) -> Call:
        """A call about one job."""
        prompt = request.model.check.prompt(request.values)
        call = self._call(on, key, prompt, request.model.entry.model_id)
        call.request_id, call.values = request.request_id, request.values
        return call


def _decoded(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREADABLE
