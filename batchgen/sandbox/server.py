"""The sandbox itself: a real HTTP server with the Model API on a loopback port.

Here are the port, the paths and the token check; the answers come from `endpoints`. aiohttp's
low-level server is used without routes, because the API has few paths and clients poll thousands
of times a second.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import parse_qsl

from aiohttp import web

from batchgen.core.errors import LocalIOError, UsageError
from batchgen.sandbox.audit import Audit
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.endpoints import Endpoints
from batchgen.sandbox.faults.mixture import chaos_rules
from batchgen.sandbox.faults.rules import FaultPlan, parse_rules
from batchgen.sandbox.http_answer import (
    BAD_TOKEN,
    MOVED,
    Answer,
    ErrorStyle,
    Sleep,
    error,
    gateway_error,
    of_json,
    send,
    styled,
)
from batchgen.sandbox.model_catalogue import SandboxCatalogue
from batchgen.sandbox.request_book import RequestBook, token_fingerprint

HOST = "127.0.0.1"
OWN_HOSTS = frozenset({HOST, "localhost"})
MAX_BODY_BYTES = 64 * 2**20
"""Enough for pictures as data URIs; aiohttp's own limit is 1 MiB."""
SHUTDOWN_S = 0.2
"""The time that calls get to finish when the sandbox stops."""
RETRY_S = 0.05
"""Between two attempts to get the port back after an outage."""


class Listener:
    """One port on loopback, closed during outages. Raises `LocalIOError` if the port is taken.

    Outages have a begin and an end in seconds since the start, which `elapsed` gives. Connections
    that are open stay open in outages.
    """

    def __init__(
        self,
        server: web.Server,
        outages: Sequence[tuple[float, float]],
        elapsed: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self.port = 0
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        self._outages = sorted(outages)
        self._elapsed = elapsed
        self._sleep = sleep
        self._site: web.TCPSite
        self._outage_task: asyncio.Task[None] | None = None

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
            self._outage_task = asyncio.create_task(self._keep_outages())

    async def close(self) -> None:
        """Close the port and the connections to it."""
        if self._outage_task is not None:
            self._outage_task.cancel()
            await asyncio.wait([self._outage_task])
        await self._runner.cleanup()

    async def _listen(self, port: int) -> None:
        self._site = web.TCPSite(self._runner, HOST, port, backlog=1024)
        await self._site.start()

    async def _keep_outages(self) -> None:
        for begin, end in self._outages:
            await self._until(begin)
            if self._elapsed() < end:
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
            except OSError:  # an outgoing connection may use the number for a moment
                await self._site.stop()
                await asyncio.sleep(RETRY_S)
            else:
                return


_NOT_FOUND = gateway_error(404)
_FOREIGN_HOST = gateway_error(403)
_WRONG_METHOD = gateway_error(405)
_NO_TOKEN = error(BAD_TOKEN, "the token is missing, expired or revoked")


class Sandbox:
    """A local Model API; start it, or use it as `async with`.

    `clock` gives seconds since 1970, `rng` makes the request ids, `sleep` delays slow and hanging
    answers. Raises `UsageError` for settings that make no sense, and `LocalIOError` if the port is
    taken or the journal cannot be used.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config or SandboxConfig()
        self._sleep = sleep
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._catalogue = SandboxCatalogue(self.config.models, price_usd=self.config.price_usd)
        self._rules = parse_rules((*self.config.faults, *chaos_rules(self.config.chaos)))
        self._style = ErrorStyle(self.config.error_style)
        self._tokens = {
            f"Bearer {token}": token_fingerprint(token)
            for token in (self.config.token, *self.config.more_tokens)
        }
        self._listener: Listener | None = None
        self._started: Endpoints | None = None

    @property
    def token(self) -> str:
        """The token that clients must send."""
        return self.config.token

    @property
    def origin(self) -> str:
        """The address, `http://127.0.0.1:N`."""
        return self._endpoints.origin

    @property
    def base_url(self) -> str:
        """The base URL, `http://127.0.0.1:N/v1`, as RUNCOMFY_MODEL_API_BASE wants it."""
        return f"{self.origin}/v1"

    @property
    def audit(self) -> Audit:
        """The record of all calls so far; it stays readable after `stop`."""
        return self._endpoints.audit

    @property
    def _endpoints(self) -> Endpoints:
        if self._started is None:
            raise RuntimeError("the sandbox has not been started")
        return self._started

    async def start(self, port: int = 0) -> None:
        """Load the journal, then listen on 127.0.0.1; port 0 takes a free one."""
        if not 0 <= port <= 65535:
            raise UsageError(f"port {port} does not exist; give 1 to 65535, or 0 for a free one")
        book = RequestBook(self.config, self._catalogue, self._rng)
        plan = FaultPlan(self._rules, self.config.seed)
        self._started = Endpoints(self.config, self._catalogue, book, plan, self._clock)
        request_factory = partial(
            web.BaseRequest, loop=asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
        )
        server = web.Server(self._handle, request_factory=request_factory, access_log=None)
        began = self._clock()
        self._listener = Listener(server, plan.outages, lambda: self._clock() - began, self._sleep)
        try:
            await self._listener.open(port)
        except LocalIOError:
            await self.stop()
            raise
        self._started.origin = f"http://{HOST}:{self._listener.port}"

    async def stop(self) -> None:
        """Close the port, the connections and the journal. The second time, do nothing."""
        if self._listener:
            await self._listener.close()
            self._endpoints.book.close()
        self._listener = None

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            endpoint, answer = await self._dispatch(request)
        except LocalIOError as problem:
            endpoint, answer = "journal", error(500001, str(problem))
        return await self._send(request, endpoint, answer)

    async def _dispatch(self, request: web.BaseRequest) -> tuple[str, Answer]:
        """Return the endpoint, as the audit names it, and the answer."""
        path, _, query = request.raw_path.removeprefix(MOVED).partition("?")
        match parts := path.split("/")[1:]:
            case ["files", request_id, name]:
                return "file", self._file_call(request, request_id, name, query)
            case ["sandbox", *_] if not self._is_own_host(request):
                return "sandbox", _FOREIGN_HOST
            case ["sandbox", "audit"]:
                return "sandbox", of_json(self.audit.as_json())
            case ["sandbox", "health"]:
                health = {"status": "ok", "in_flight": self.audit.in_flight}
                return "sandbox", of_json(health)
            case ["v1", "requests", _, ("status" | "result" | "cancel") as verb]:
                endpoint = str(verb)
            case ["v1", "models", *_]:
                endpoint = "submit" if request.method == "POST" else "catalogue"
            case ["prod", "v2", "balance"]:
                endpoint = "balance"
            case _:
                return "unknown", _NOT_FOUND
        token = self._tokens.get(request.headers.get("Authorization", ""))
        if token is None:
            return endpoint, _NO_TOKEN
        return endpoint, await self._api_call(request, parts, dict(parse_qsl(query)), token)

    async def _api_call(
        self, request: web.BaseRequest, parts: list[str], query: dict[str, str], token: str
    ) -> Answer:
        """Return the answer to a call with a good token."""
        api = self._endpoints
        match request.method, parts[1:]:
            case "GET", ["requests", request_id, "status"]:
                return api.status(request_id, token)
            case "GET", ["requests", request_id, "result"]:
                include_cost = query.get("include_cost") == "true"
                return api.result(request_id, token, include_cost=include_cost)
            case "POST", ["requests", request_id, "cancel"]:
                return api.cancel(request_id, token)
            case "POST", ["models", *names]:
                try:
                    return api.submit("/".join(names), await request.read(), token)
                except web.HTTPRequestEntityTooLarge:
                    return gateway_error(413)
            case "GET", ["models"]:
                return api.models(query)
            case "GET", ["models", "categories"]:
                return api.categories()
            case "GET", ["models", *names]:
                return api.model("/".join(names))
            case _, ["v2", "balance"]:
                return api.balance()
        return _WRONG_METHOD

    def _is_own_host(self, request: web.BaseRequest) -> bool:
        """Return whether a call names this server; a page in a browser would name its own host.

        The audit has the user's prompts, and its path needs no token.
        """
        name, _, port = request.headers.get("Host", "").rpartition(":")
        return name in OWN_HOSTS and port == self.origin.rpartition(":")[2]

    def _file_call(
        self, request: web.BaseRequest, request_id: str, name: str, query: str
    ) -> Answer:
        if "Authorization" in request.headers:
            self.audit.tokens_on_files += 1
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        return self._endpoints.file(request_id, name, query, request.headers)

    async def _send(
        self, request: web.BaseRequest, endpoint: str, answer: Answer
    ) -> web.StreamResponse:
        answer = styled(answer, self._style)
        if request.method == "HEAD":  # it has no body for a fault to change
            answer = answer._replace(cut=False, chunked=False, bytes_per_s=None)
        is_whole = answer.status and not answer.cut
        self.audit.count_call(endpoint, str(answer.status) if is_whole else "closed")
        if answer.delay_s:
            await self._sleep(answer.delay_s)
        return await send(request, answer, self._sleep)
