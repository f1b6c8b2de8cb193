"""A sandbox on a free port whose time only moves when a test says so, and a plain HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest

from batchgen.sandbox import Sandbox, SandboxConfig
from tests.kit import MODEL


class Clock:
    """Seconds since 1970 that a test moves by hand; `sleep` moves them too."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now += delay_s


@dataclass
class Got:
    """One answer, read to its end."""

    status: int
    headers: Any
    body: bytes
    json: Any = field(default=None)


@dataclass
class Client:
    """Calls one sandbox as any client would, and gives back what it heard."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    clock: Clock

    async def call(self, method: str, path: str, *, token: str | None = "", **options: Any) -> Got:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.sandbox.token}"
        url = path if path.startswith("http") else self.sandbox.base_url + path
        async with self.session.request(method, url, headers=headers, **options) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json" and method != "HEAD"
            try:
                decoded = msgspec.json.decode(body) if is_json else None
            except msgspec.DecodeError:
                decoded = None
            return Got(answer.status, answer.headers, body, decoded)

    async def post(self, body: Any = None, *, model: str = MODEL, **options: Any) -> Got:
        """Submit; a text is a prompt."""
        body = {"prompt": body} if isinstance(body, str) else body
        return await self.call("POST", f"/models/{model}", json=body, **options)

    async def submit(self, body: Any, **options: Any) -> str:
        """Submit what must be accepted; its request_id."""
        got = await self.post(body, **options)
        assert got.status == 200, got.body
        request_id = got.json["request_id"]
        assert isinstance(request_id, str)
        return request_id

    async def status(self, request_id: str, **options: Any) -> Got:
        return await self.call("GET", f"/requests/{request_id}/status", **options)

    async def result(self, request_id: str, query: str = "", **options: Any) -> Got:
        return await self.call("GET", f"/requests/{request_id}/result{query}", **options)

    async def cancel(self, request_id: str, **options: Any) -> Got:
        return await self.call("POST", f"/requests/{request_id}/cancel", **options)

    async def file(self, url: str, **options: Any) -> Got:
        return await self.call("GET", url, token=None, **options)


Start = Callable[..., Awaitable[Client]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    """Starts sandboxes with the given settings; all jobs take a second unless said otherwise."""
    async with AsyncExitStack() as stack:

        async def begin(*, rng: Any = None, **settings: Any) -> Client:
            times = {"duration_min_s": 1.0, "duration_max_s": 1.0}
            config = SandboxConfig(**{**times, **settings})
            sandbox = Sandbox(config, clock=clock, rng=rng, sleep=clock.sleep)
            await stack.enter_async_context(sandbox)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(sandbox, session, clock)

        yield begin
