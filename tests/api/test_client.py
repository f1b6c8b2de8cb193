"""The client against real servers: what leaves, what comes back, and where the token goes."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from batchgen.api.client import ModelAPI
from batchgen.core.api_answers import (
    CancelOutcome,
    Doubt,
    Ended,
    Gone,
    NoBalance,
    Produced,
    Reply,
    RowRefused,
    Running,
    Submitted,
    TokenRejected,
    TryAgain,
)
from batchgen.core.api_base import parse_base_url
from batchgen.core.model_entry import ModelEntry
from batchgen.core.secret import Secret
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.outputs import host
from tests.outputs.host import Handler


def client(base_url: str, token: str = "sandbox-token", **more: Any) -> ModelAPI:
    """A client for a server on this machine."""
    return ModelAPI(parse_base_url(base_url), Secret(token), clock=SystemClock(), **more)


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """The base URL of an API that answers everything with one handler."""
    async with host.server(handler) as origin:
        yield f"{origin}/v1"


async def test_a_job_from_submission_to_output() -> None:
    """Submit, poll, result: in the terms of the port."""
    async with (
        Sandbox(SandboxConfig(duration_min_s=0, duration_max_s=0)) as sandbox,
        client(sandbox.base_url) as api,
    ):
        answer = await api.submit(MODEL, {"prompt": "a boat", "width×height": "1024x1024(1:1)"})
        assert isinstance(answer, Submitted)
        assert await api.status(answer.request_id) == Ended()
        result = await api.result(answer.request_id)
        assert isinstance(result, Produced)
        assert result.cost_usd == pytest.approx(0.03)
        assert len(result.outputs) == 1
        assert await api.cancel(answer.request_id) is CancelOutcome.NOT_CANCELLABLE


async def test_what_the_api_refuses() -> None:
    """Bad token, unknown request, bad input, unknown model, empty wallet: each by its meaning."""
    async with (
        Sandbox(SandboxConfig(balance_usd=0.0)) as sandbox,
        client(sandbox.base_url) as api,
        client(sandbox.base_url, "wrong") as stranger,
    ):
        assert isinstance(await stranger.submit(MODEL, {"prompt": "x"}), TokenRejected)
        assert isinstance(await stranger.status("r"), TokenRejected)
        assert isinstance(await api.status("unknown"), Gone)
        assert isinstance(await api.submit(MODEL, {"prompt": "x" * 801}), RowRefused)
        assert isinstance(await api.submit(MODEL, {}), RowRefused)
        assert isinstance(await api.submit("no/such-model", {"prompt": "x"}), RowRefused)
        assert isinstance(await api.submit(MODEL, {"prompt": "x"}), NoBalance)


async def test_a_catalogue_entry() -> None:
    """Schema and price of a model; something else if there is none."""
    async with Sandbox(SandboxConfig()) as sandbox, client(sandbox.base_url) as api:
        entry = await api.model(MODEL)
        assert isinstance(entry, ModelEntry)
        assert entry.base_price_usd is not None
        assert not isinstance(await api.model("no/such-model"), ModelEntry)


async def test_no_connection_proves_that_nothing_was_accepted() -> None:
    """A port on which nobody listens: safe to try again, and no answer."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async with client(f"http://127.0.0.1:{port}/v1") as api:
        answer = await api.submit(MODEL, {"prompt": "x"})

    assert isinstance(answer, TryAgain)
    assert not answer.answered


async def test_a_connection_that_breaks_after_sending_is_doubt() -> None:
    """The request may have arrived."""

    async def break_off(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with server(break_off) as base_url, client(base_url) as api:
        assert isinstance(await api.submit(MODEL, {"prompt": "x"}), Doubt)


async def test_a_post_is_sent_once() -> None:
    """No layer below repeats a POST behind our back."""
    seen: list[str] = []

    async def break_off(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with server(break_off) as base_url, client(base_url) as api:
        for _ in range(5):
            await api.submit(MODEL, {"prompt": "x"})

    assert seen == ["POST"] * 5


async def test_the_token_never_crosses_a_redirect() -> None:
    """A redirect is not followed, not even on the same machine."""
    visited: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visited.append(request.headers.get("Authorization"))
        return web.json_response({"request_id": "r", "status": "completed"})

    async with server(elsewhere) as target:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(target)

        async with server(redirect) as base_url, client(base_url) as api:
            assert isinstance(await api.submit(MODEL, {"prompt": "x"}), Doubt)
            assert isinstance(await api.status("r"), TryAgain)

    assert visited == []


async def test_an_echoed_token_is_redacted() -> None:
    """A server that repeats the token in its error does not get it into a record."""

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text=f"bad header {request.headers['Authorization']}")

    async with server(echo) as base_url, client(base_url, "s3cret-token") as api:
        answer = await api.submit(MODEL, {"prompt": "x"})

    assert isinstance(answer, Doubt)
    assert "s3cret-token" not in answer.error.message
    assert "[token]" in answer.error.message


async def test_an_echoed_token_in_json_is_redacted() -> None:
    """Nor in a message of an error body."""

    async def echo(request: web.Request) -> web.StreamResponse:
        message = f"token {request.headers['Authorization']}"
        return web.json_response({"error_code": 422001, "error_message": message}, status=422)

    async with server(echo) as base_url, client(base_url, "s3cret-token") as api:
        answer = await api.submit(MODEL, {"prompt": "x"})

    assert isinstance(answer, RowRefused)
    assert "s3cret-token" not in answer.error.message


async def test_a_request_id_cannot_leave_its_place_in_the_path() -> None:
    """Ids are opaque; one that looks like a path is escaped."""
    paths: list[str] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.json_response({"status": "in_progress"})

    async with server(remember) as base_url, client(base_url) as api:
        assert await api.status("../../admin?x=1#y") == Running()

    assert paths == ["/v1/requests/..%2F..%2Fadmin%3Fx%3D1%23y/status"]


async def test_a_body_without_end_is_no_answer() -> None:
    """A server that never stops sending cannot fill the memory."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
        except ConnectionError:
            return response

    async with server(flood) as base_url, client(base_url) as api:
        assert isinstance(await api.status("r"), TryAgain)


async def test_a_token_is_not_recorded_as_part_of_an_id_or_a_url() -> None:
    """An id with the token in it is a doubt, and no download host is ever sent the token."""

    async def answer(request: web.Request) -> web.StreamResponse:
        url = "https://files.runcomfy.net/my-token-1/a.png"
        return web.json_response(
            {"request_id": "my-token-1", "status": "succeeded", "output": {"image": url}}
        )

    async with server(answer) as base_url, client(base_url, "my-token-1") as api:
        submitted = await api.submit(MODEL, {"prompt": "x"})
        result = await api.result("r")

    assert isinstance(submitted, Doubt)
    assert isinstance(result, Produced)
    assert result.outputs == ("https://files.runcomfy.net/[token]/a.png",)


TOKEN = "a1b2C3d4-token+XYZ/9"

SPELLINGS = {
    "as it is": TOKEN,
    "UTF-16": TOKEN.encode("utf-16").decode("latin-1"),
    "UTF-32": TOKEN.encode("utf-32").decode("latin-1"),
    "split by ESC": "\x1b".join(TOKEN),
    "split by a line break": TOKEN[:9] + "\r\n" + TOKEN[9:],
    "split by zero-width joiners": "\u200d".join(TOKEN),
    "split by C1": TOKEN[:5] + "\x9b" + TOKEN[5:],
    "percent-encoded": quote(TOKEN, safe=""),
    "all percent-encoded": "".join(f"%{ord(char):02X}" for char in TOKEN),
    "encoded twice": quote(quote(TOKEN, safe=""), safe=""),
    "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in TOKEN),
    "HTML": "".join(f"&#{ord(char)};" for char in TOKEN),
    "HTML hex": "".join(f"&#x{ord(char):X};" for char in TOKEN),
    "hex": TOKEN.encode().hex(),
    "base64": base64.b64encode(TOKEN.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {TOKEN}".encode()).decode(),
    "base64 at another place": base64.urlsafe_b64encode(f"xy{TOKEN}z".encode()).decode(),
}
WRAPS: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "object": lambda value: {"detail": value},
    "key": lambda value: {f"Bearer {value}": 1},
    "key of an error": lambda value: {"error": {value: "x"}},
    "output": lambda value: {"output": {"image": f"https://x.runcomfy.net/{value}"}},
    "request_id": lambda value: {"request_id": value},
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_an_echoed_token_is_redacted_at_any_place_and_in_any_spelling(
    wrap: Callable[[Any], Any], spelling: str
) -> None:
    """As a key, a value or inside a text: what is kept has no trace of it."""
    kept = json.dumps(Secret(TOKEN).redact_all(wrap(f"x {spelling} y")), ensure_ascii=False)

    assert "[token]" in kept
    shown = "".join(char for char in kept if char.isprintable())
    for trace in (TOKEN, quote(TOKEN, safe=""), TOKEN.encode().hex(), spelling):
        assert trace not in kept
        assert trace not in shown


async def test_a_text_is_cut_after_the_token_was_taken_out() -> None:
    """A message that ends in the middle of the token does not keep its first half."""

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="x" * 590 + TOKEN)

    async with server(echo) as base_url, client(base_url, TOKEN) as api:
        reply = await api.model(MODEL)

    assert isinstance(reply, Reply)
    assert TOKEN[:4] not in reply.text


@pytest.mark.parametrize("call", ["submit", "status", "result", "cancel", "has_model", "model"])
async def test_a_defect_costs_one_answer_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A bug in reading an answer is a doubt or another poll, and is not hidden."""
    said: list[str] = []

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a1b2C3d4")

    for name in ("submit", "status", "result", "cancel", "presence", "entry"):
        monkeypatch.setattr(f"batchgen.api.client.read_{name}", broken)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"request_id": "r", "status": "completed"})

    async with server(answer) as base_url, client(base_url, on_defect=said.append) as api:
        values = (MODEL, {"prompt": "x"}) if call == "submit" else ("r",)
        got = await getattr(api, call)(*values)

    expected = {"submit": Doubt, "status": TryAgain, "result": TryAgain, "cancel": CancelOutcome,
                "has_model": type(None), "model": Reply}  # fmt: skip
    assert isinstance(got, expected[call])
    assert len(said) == 1
    assert "defect of batchgen" in said[0]
    assert "ZeroDivisionError in broken" in said[0]
    assert "a1b2" not in said[0]
