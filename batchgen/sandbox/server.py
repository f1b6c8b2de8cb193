"""The sandbox itself: the Model API on a loopback port, over a real HTTP server.

aiohttp only, and only here: what the answers are is for `endpoints`. The low-level server is used
without routes, because the API has few paths and clients poll thousands of times a second.

The port: listens, and in outages does not, so that connections are refused.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from urllib.parse import parse_qsl

from aiohttp import web

from batchgen.core.errors import LocalIOError, UsageError
from batchgen.sandbox.audit import Audit, replayed_posts
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.endpoints import Endpoints
from batchgen.sandbox.faults.mixture import chaos
from batchgen.sandbox.faults.rules import FaultPlan, parsed
from batchgen.sandbox.http_answer import (
    BAD_TOKEN,
    MOVED,
    Delivery,
    ErrorStyle,
    error,
    gateway_error,
    of_json,
    send,
    sized_request,
    styled,
)
from batchgen.sandbox.model_catalogue import SandboxCatalogue
from batchgen.sandbox.request_book import RequestBook, token_fingerprint

HOST = "127.0.0.1"
SHUTDOWN_S = 0.2
"""How long calls that are being answered get when the sandbox stops."""
RETRY_S = 0.05
"""Between two tries to get the own port back after an outage."""

Window = tuple[float, float]
"""Seconds since the start, from which on and until when nobody listens."""


class Listener:
    """One port on loopback; connections that are open stay open in outages.

    `elapsed` gives seconds since the start. Raises `LocalIOError` where the port is taken.
    """

    def __init__(
        self,
        server: web.Server,
        outages: Sequence[Window],
        elapsed: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.port = 0
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        self._outages = sorted(outages)
        self._elapsed = elapsed
        self._sleep = sleep
        self._site: web.TCPSite | None = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self, port: int) -> None:
        """Listen; port 0 takes a free one."""
        await self._runner.setup()
        try:
            await self._listen(port)
        except OSError as problem:
            await self.close()
            reason = os.strerror(problem.errno or 0)
            message = f"the sandbox cannot listen on {HOST}:{port}: {reason}"
            raise LocalIOError(message) from None
        self.port = self._runner.addresses[0][1]
        if self._outages:
            self._watch = asyncio.create_task(self._keep_outages())

    async def close(self) -> None:
        """End the port and what hangs on it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._runner.cleanup()

    async def _listen(self, port: int) -> None:
        self._site = web.TCPSite(self._runner, HOST, port, backlog=1024)
        await self._site.start()

    async def _keep_outages(self) -> None:
        for begin, end in self._outages:
            await self._until(begin)
            if self._elapsed() >= end:
                continue
            if self._site is not None:
                await self._site.stop()
            await self._until(end)
            await self._listen_again()

    async def _until(self, moment: float) -> None:
        while (left := moment - self._elapsed()) > 0:
            await self._sleep(min(left, 3600.0))

    async def _listen_again(self) -> None:
        while True:
            try:
                await self._listen(self.port)
            except OSError:  # somebody's outgoing connection may sit on the number for a moment
                if self._site is not None:
                    await self._site.stop()
                await asyncio.sleep(RETRY_S)
            else:
                return


_NOT_FOUND = gateway_error(404)
_WRONG_METHOD = gateway_error(405)
_NO_TOKEN = error(BAD_TOKEN, "the token is missing, expired or revoked")


class Sandbox:
    """A stand-in of the Model API; start it, or use it as `async with`.

    `clock` gives seconds since 1970, `rng` the request ids, `sleep` waits for slow and hanging
    answers. `UsageError` for settings that make no sense, `LocalIOError` where the port is taken
    or the journal cannot be used.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config or SandboxConfig()
        self._sleep = sleep
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._catalogue = SandboxCatalogue(self.config.models, price_usd=self.config.price_usd)
        self._rules = parsed((*self.config.faults, *chaos(self.config.chaos)))
        self._style = ErrorStyle(self.config.error_style)
        self._tokens = {
            f"Bearer {token}": token_fingerprint(token)
            for token in (self.config.token, *self.config.more_tokens)
        }
        self._listener: Listener | None = None
        self._book: RequestBook | None = None
        self._audit: Audit | None = None
        self._api: Endpoints | None = None

    @property
    def token(self) -> str:
        """The token to send."""
        return self.config.token

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:N`."""
        return self._endpoints.origin

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:N/v1`, as RUNCOMFY_MODEL_API_BASE wants it."""
        return f"{self.origin}/v1"

    @property
    def audit(self) -> Audit:
        """What was seen so far; stays readable after `stop`."""
        if self._audit is None:
            raise RuntimeError("the sandbox has not been started")
        return self._audit

    @property
    def _endpoints(self) -> Endpoints:
        if self._api is None:
            raise RuntimeError("the sandbox has not been started")
        return self._api

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. Loads the journal first."""
        if not 0 <= port <= 65535:
            raise UsageError(f"port {port} does not exist; give 1 to 65535, or 0 for a free one")
        book = self._book = RequestBook(self.config, self._catalogue, self._rng)
        audit = self._audit = Audit(book, self._clock, replayed_posts(book))
        plan = FaultPlan(self._rules, self.config.seed)
        api = self._api = Endpoints(self.config, self._catalogue, book, audit, plan, self._clock)
        server = web.Server(self._handle, request_factory=sized_request, access_log=None)
        began = self._clock()
        listener = self._listener = Listener(
            server, plan.outages, lambda: self._clock() - began, self._sleep
        )
        try:
            await listener.open(port)
        except LocalIOError:
            await self.stop()
            raise
        api.origin = f"http://{HOST}:{listener.port}"

    async def stop(self) -> None:
        """Close the port, end what hangs, close the journal. Does nothing the second time."""
        if self._listener:
            await self._listener.close()
        if self._listener and self._book:
            self._book.close()
        self._listener = None

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            endpoint, delivery = await self._dispatch(request)
        except LocalIOError as problem:
            endpoint, delivery = "journal", Delivery(answer=error(500001, str(problem)))
        return await self._deliver(request, endpoint, delivery)

    async def _dispatch(self, request: web.BaseRequest) -> tuple[str, Delivery]:
        """The name of the endpoint for the audit, and what is delivered."""
        path, _, query = request.raw_path.removeprefix(MOVED).partition("?")
        match path.split("/")[1:]:
            case ["v1", "requests", request_id, verb]:
                return verb, self._request_call(request, request_id, verb, query)
            case ["v1", "models", *rest]:
                return await self._models_call(request, rest, query)
            case ["files", request_id, name]:
                return "file", self._file_call(request, request_id, name, query)
            case ["prod", "v2", "balance"]:
                known = self._token_of(request) is not None
                return "balance", self._endpoints.balance() if known else _refused()
            case ["sandbox", "audit"]:
                return "sandbox", Delivery(answer=of_json(self.audit.as_json()))
            case ["sandbox", "health"]:
                told = {"status": "ok", "in_flight": self.audit.in_flight}
                return "sandbox", Delivery(answer=of_json(told))
            case _:
                return "unknown", Delivery(answer=_NOT_FOUND)

    def _token_of(self, request: web.BaseRequest) -> str | None:
        """The fingerprint of a good token; None for a bad or missing one."""
        return self._tokens.get(request.headers.get("Authorization", ""))

    def _request_call(
        self, request: web.BaseRequest, request_id: str, verb: str, query: str
    ) -> Delivery:
        token = self._token_of(request)
        if token is None:
            return _refused()
        match request.method, verb:
            case "GET", "status":
                return self._endpoints.status(request_id, token)
            case "GET", "result":
                cost = bool(query) and dict(parse_qsl(query)).get("include_cost") == "true"
                return self._endpoints.result(request_id, token, include_cost=cost)
            case "POST", "cancel":
                return self._endpoints.cancel(request_id, token)
            case _, "status" | "result" | "cancel":
                return Delivery(answer=_WRONG_METHOD)
            case _:
                return Delivery(answer=_NOT_FOUND)

    async def _models_call(
        self, request: web.BaseRequest, rest: list[str], query: str
    ) -> tuple[str, Delivery]:
        endpoint = "submit" if request.method == "POST" else "catalogue"
        token = self._token_of(request)
        if token is None:
            return endpoint, _refused()
        if endpoint == "submit":
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return endpoint, Delivery(answer=gateway_error(413))
            return endpoint, self._endpoints.submit("/".join(rest), body, token)
        if request.method != "GET":
            return endpoint, Delivery(answer=_WRONG_METHOD)
        if not rest:
            return endpoint, self._endpoints.models(dict(parse_qsl(query)))
        if rest == ["categories"]:
            return endpoint, self._endpoints.categories()
        return endpoint, self._endpoints.model("/".join(rest))

    def _file_call(
        self, request: web.BaseRequest, request_id: str, name: str, query: str
    ) -> Delivery:
        if "Authorization" in request.headers:
            self.audit.tokens_on_files += 1
        if request.method not in ("GET", "HEAD"):
            return Delivery(answer=_WRONG_METHOD)
        return self._endpoints.file(request_id, name, query, request.headers)

    async def _deliver(
        self, request: web.BaseRequest, endpoint: str, delivery: Delivery
    ) -> web.StreamResponse:
        if request.method == "HEAD":  # it has no body that could be spoiled
            delivery = delivery._replace(cut=False, chunked=False, bytes_per_s=None)
        answer = delivery.answer
        if answer and answer.code is not None and self._style is not ErrorStyle.CODES:
            answer = styled(answer, self._style)
            delivery = delivery._replace(answer=answer)
        whole = answer is not None and not delivery.cut
        self.audit.count_call(endpoint, str(answer.status) if answer and whole else "closed")
        if delivery.delay_s:
            await self._sleep(delivery.delay_s)
        return await send(request, delivery, self._sleep)


def _refused() -> Delivery:
    return Delivery(answer=_NO_TOKEN)
