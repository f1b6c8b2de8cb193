"""Faults over real HTTP: what the client sees, and whether the job was accepted all the same."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
import pytest

from batchgen.core.errors import UsageError
from batchgen.sandbox import Sandbox, SandboxConfig

from .conftest import Client, Start
from .png import decode


async def accepted_after(client: Client) -> int:
    """Jobs accepted so far, by the count of the server."""
    return len(client.sandbox.audit.requests)


@pytest.mark.parametrize(
    ("rule", "accepted"),
    [("submit:lose-answer", 1), ("submit:drop", 0), ("submit:hang:for_s=30", 1),
     ("submit:hang:for_s=30:accepted=no", 0)],
)  # fmt: skip
async def test_connections_that_close_without_an_answer(
    start: Start, rule: str, accepted: int
) -> None:
    """The client hears nothing; the audit alone knows whether there is a paid job."""
    client = await start(faults=(f"{rule}:first=1",))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.post("a fox")
    assert await accepted_after(client) == accepted
    assert client.sandbox.audit.received("a fox") == 1
    assert client.sandbox.audit.calls["submit"] == {"closed": 1}
    assert client.clock.slept == ([30.0] if "hang" in rule else [])
    await client.submit("a fox")


@pytest.mark.parametrize(
    ("rule", "status", "body", "accepted"),
    [
        ("submit:429", 429, {"message": "Too Many Requests"}, 0),
        ("submit:504", 504, {"message": "Gateway Timeout"}, 0),
        ("submit:504:accepted=yes", 504, {"message": "Gateway Timeout"}, 1),
        ("submit:599", 599, {"message": "error"}, 0),
        ("submit:400:code=400002", 400, 400002, 0),
        ("submit:error-code", 200, 422001, 0),
        ("submit:error-code:code=500001:accepted=yes", 200, 500001, 1),
        ("submit:html", 200, None, 0),
        ("submit:html:accepted=yes", 200, None, 1),
        ("submit:bad-json", 200, None, 1),
    ],
)
async def test_answers_that_are_spoiled(
    start: Start, rule: str, status: int, body: Any, accepted: int
) -> None:
    """Statuses, codes and bodies as the rule has them, accepted or not as it says."""
    client = await start(faults=(rule,))
    got = await client.post("a fox")
    assert got.status == status
    assert (got.json["error_code"] if isinstance(body, int) else got.json) == body
    assert await accepted_after(client) == accepted


async def test_retry_after_is_a_header(start: Start) -> None:
    """`retry_after=2` sends Retry-After: 2; without it there is no such header."""
    client = await start(faults=("submit:503:retry_after=2:first=1", "submit:503"))
    assert (await client.post("x")).headers["Retry-After"] == "2"
    assert "Retry-After" not in (await client.post("x")).headers


async def test_a_submission_without_request_id(start: Start) -> None:
    """All but the id is there, and the job is paid for."""
    client = await start(faults=("submit:no-request-id",))
    got = await client.post("x")
    assert set(got.json) == {"status_url", "result_url", "cancel_url"}
    assert await accepted_after(client) == 1


async def test_slow_answers_come_late_and_whole(start: Start) -> None:
    """`slow` waits for `delay_s` and then answers as usual."""
    client = await start(faults=("submit:slow:delay_s=12",))
    assert (await client.post("x")).status == 200
    assert client.clock.slept == [12.0]


@pytest.mark.parametrize(("shape", "kind"), [("string", str), ("object", dict), ("list", list)])
@pytest.mark.parametrize("place", ["submit", "result"])
async def test_jobs_that_end_badly(start: Start, place: str, shape: str, kind: type) -> None:
    """completed on status, failed on the result with an error of that shape, every time asked."""
    client = await start(faults=(f"{place}:failed:match=bad:shape={shape}",))
    bad, good = await client.submit("a bad one"), await client.submit("a good one")
    client.clock.now += 1
    for _ in range(3):
        assert (await client.status(bad)).json["status"] == "completed"
        result = (await client.result(bad, "?include_cost=true")).json
        assert result["status"] == "failed"
        assert isinstance(result["error"], kind)
        assert not {"output", "cost"} & set(result)
        assert (await client.result(good)).json["status"] == "succeeded"
    assert (await client.file(f"{client.sandbox.origin}/files/{bad}/1.png")).status == 404
    assert {r.prompt: r.state for r in client.sandbox.audit.requests} == {
        "a bad one": "failed",
        "a good one": "succeeded",
    }


async def test_a_failure_can_report_a_cost(start: Start) -> None:
    """With `cost_usd` the failed result names it when asked."""
    client = await start(faults=("submit:failed:cost_usd=0.02",))
    request_id = await client.submit("x")
    client.clock.now += 1
    assert (await client.result(request_id, "?include_cost=true")).json["cost"] == 0.02


async def test_a_second_attempt_has_its_own_chance(start: Start) -> None:
    """`first=1` fails one job; the same body submitted again succeeds."""
    client = await start(faults=("result:failed:first=1",))
    ids = [await client.submit("x"), await client.submit("x")]
    client.clock.now += 1
    results = [(await client.result(request_id)).json["status"] for request_id in ids * 2]
    assert results == ["failed", "succeeded"] * 2


async def test_a_success_without_output(start: Start) -> None:
    """succeeded, and nothing in `output`."""
    client = await start(faults=("result:no-output",))
    request_id = await client.submit("x")
    client.clock.now += 1
    result = (await client.result(request_id)).json
    assert (result["status"], result["output"]) == ("succeeded", {})


async def test_files_that_break_off_can_be_continued(start: Start) -> None:
    """All bytes announced, half of them sent, then the end; a range brings the rest."""
    client = await start(faults=("file:truncate",))
    request_id = await client.submit("x")
    client.clock.now += 1
    url = (await client.result(request_id)).json["output"]["image"]
    async with client.session.get(url) as answer:
        announced = int(answer.headers["Content-Length"])
        part = await answer.content.readexactly(announced // 2)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read(1)
    rest = await client.file(url, headers={"Range": f"bytes={len(part)}-"})
    assert rest.status == 206
    decode(part + rest.body)
    assert client.sandbox.audit.calls["file"] == {"closed": 1, "206": 1}


async def test_a_patient_client_gets_through(start: Start) -> None:
    """With a fault on every kind of call, asking once more is enough."""
    client = await start(
        faults=("status:504", "result:html", "cancel:500", "file:503", "catalogue:429")
    )
    request_id = await client.submit("x")
    client.clock.now += 1
    url = f"{client.sandbox.origin}/files/{request_id}/1.png"
    calls = [
        partial(client.status, request_id), partial(client.result, request_id),
        partial(client.cancel, request_id), partial(client.file, url),
        partial(client.call, "GET", "/models"),
    ]  # fmt: skip
    for call in calls:
        first, second = await call(), await call()
        assert first.status >= 429 or first.json is None
        assert second.status in (200, 202)
        assert second.body != first.body


async def test_a_cancellation_that_never_arrived(start: Start) -> None:
    """`drop` and a status leave the job in the queue; a lost answer cancels it all the same."""
    client = await start(capacity=1, faults=("cancel:500:match=500", "cancel:lose-answer"))
    _, one, two = [await client.submit(prompt) for prompt in ("running", "500", "lost")]
    assert (await client.cancel(one)).status == 500
    assert (await client.status(one)).json["status"] == "in_queue"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.cancel(two)
    assert (await client.status(two)).json["status"] == "cancelled"


async def test_an_outage_by_the_clock(start: Start) -> None:
    """Every call of that kind fails inside the window, and none outside of it."""
    client = await start(faults=("status:503:from_s=10:to_s=20",))
    request_id = await client.submit("x")
    seen = []
    for _ in range(6):
        seen.append((await client.status(request_id)).status)
        client.clock.now += 5
    assert seen == [200, 200, 503, 503, 200, 200]


async def test_the_same_seed_hits_the_same_jobs(start: Start) -> None:
    """Which jobs fail by a rate depends on seed and input alone, not on ids, order or process."""

    async def failed(prompts: list[str], seed: int) -> set[str]:
        client = await start(faults=("result:failed:rate=0.3",), seed=seed, capacity=99)
        ids = {prompt: await client.submit(prompt) for prompt in prompts}
        client.clock.now += 1
        results = {p: (await client.result(r)).json["status"] for p, r in ids.items()}
        return {prompt for prompt, word in results.items() if word == "failed"}

    prompts = [f"prompt {number}" for number in range(40)]
    first = await failed(prompts, 5)
    assert 0 < len(first) < 40
    assert await failed(prompts[::-1], 5) == first
    assert await failed(prompts, 6) != first


async def test_stopping_ends_what_hangs() -> None:
    """A hanging connection does not keep the sandbox from stopping."""
    config = SandboxConfig(faults=("submit:hang",))
    async with Sandbox(config) as sandbox, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {sandbox.token}"}
        url = f"{sandbox.base_url}/models/bytedance/dreamina-4-0/text-to-image"
        hanging = asyncio.create_task(session.post(url, json={"prompt": "x"}, headers=headers))
        while not sandbox.audit.requests:
            await asyncio.sleep(0)
        await asyncio.wait_for(sandbox.stop(), timeout=5)
        with pytest.raises(aiohttp.ClientError):
            await hanging


def test_bad_rules_stop_before_anything_starts() -> None:
    """A rule that cannot be read is an error when the sandbox is made."""
    with pytest.raises(UsageError, match="sumbit"):
        Sandbox(SandboxConfig(faults=("sumbit:429",)))
