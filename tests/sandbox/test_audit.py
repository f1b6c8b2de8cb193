"""The audit, with which tests prove that nothing was paid for twice."""

from __future__ import annotations

import asyncio

import pytest

from batchgen.core.model_entry import ModelEntry
from tests.kit import MODEL

from .conftest import Start


async def test_posts_are_counted_per_distinct_body(start: Start) -> None:
    """Every POST counts under its body, accepted or not; equal bodies share a count."""
    client = await start(faults=("submit:500:match=fox:first=2",))
    for body in (
        {"prompt": "fox", "scale": 1}, {"scale": 1.0, "prompt": "fox"},
        {"prompt": "fox", "scale": 1}, {"prompt": "fox"}, {"prompt": "x" * 801},
    ):  # fmt: skip
        await client.post(body)
    audit = client.sandbox.audit
    counts = [(posts.prompt[:3], posts.received, posts.accepted) for posts in audit.posts.values()]
    assert counts == [("fox", 3, 1), ("fox", 1, 1), ("xxx", 1, 0)]
    assert (audit.received("fox"), audit.accepted("fox")) == (4, 2)
    assert (audit.received("cat"), audit.accepted("cat")) == (0, 0)


async def test_models_without_a_prompt_are_known_by_their_text(start: Start) -> None:
    """If a model has no `prompt`, its first required text is used instead."""
    schema = {"required": ["duration", "tags"], "properties": {"tags": {"type": "string"}}}
    client = await start(models=(ModelEntry(model_id="a/b", input_schema=schema),))
    await client.submit({"duration": 3, "tags": "slow jazz", "lyrics": "x"}, model="a/b")
    assert client.sandbox.audit.accepted("slow jazz") == 1


async def test_the_most_in_flight_is_recorded(start: Start) -> None:
    """Waiting and running count, from acceptance to the end or the cancellation."""
    client = await start(capacity=2)
    ids = [await client.submit(f"job {n}") for n in range(5)]
    await client.cancel(ids[4])
    assert client.sandbox.audit.in_flight == 4
    client.clock.now += 10
    await client.submit("later")
    assert client.sandbox.audit.in_flight == 1
    assert client.sandbox.audit.in_flight_high_water == 5


async def test_the_audit_is_served_without_a_token(start: Start) -> None:
    """GET /sandbox/audit has all counts as JSON, fingerprints instead of tokens; health too."""
    client = await start(capacity=1, token="secret-of-this-test")
    first = await client.submit("a fox")
    await client.submit("a cat")
    await client.status(first)
    await client.status("unknown")
    got = await client.call("GET", f"{client.sandbox.origin}/sandbox/audit", token=None)
    assert b"secret-of-this-test" not in got.body
    audit = got.json
    assert [(r["prompt"], r["state"], r["attempt"]) for r in audit["requests"]] == [
        ("a fox", "in_progress", 1),
        ("a cat", "in_queue", 1),
    ]
    assert audit["requests"][0]["request_id"] == first
    assert audit["requests"][0]["model"] == MODEL
    assert audit["requests"][0]["input"] == {"prompt": "a fox"}
    assert [posts["accepted"] for posts in audit["posts"]] == [1, 1]
    assert audit["calls"] == {"submit": {"200": 2}, "status": {"200": 1, "404": 1}}
    assert (audit["in_flight"], audit["in_flight_high_water"]) == (2, 2)
    assert (audit["tokens_on_files"], audit["balance_usd"]) == (0, 999.94)
    health = await client.call("GET", f"{client.sandbox.origin}/sandbox/health", token=None)
    assert health.json == {"status": "ok", "in_flight": 2}


async def test_many_at_once_are_counted_right(start: Start) -> None:
    """Hundreds of calls at the same time lose no count and share no request_id."""
    client = await start(capacity=10)
    ids = await asyncio.gather(*(client.submit(f"job {n}") for n in range(300)))
    answers = await asyncio.gather(*(client.status(request_id) for request_id in ids))
    assert len(set(ids)) == 300
    positions = [answer.json["queue_position"] for answer in answers if len(answer.json) == 5]
    assert sorted(positions) == list(range(1, 291))
    assert client.sandbox.audit.calls == {"submit": {"200": 300}, "status": {"200": 300}}
    assert client.sandbox.audit.in_flight_high_water == 300


@pytest.mark.parametrize("path", ["audit", "health"])
@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("evil.example:{port}", 403),
     ("127.0.0.1", 403), ("127.0.0.1:1", 403), ("127.0.0.1.evil.example:{port}", 403), ("", 403)],
)  # fmt: skip
async def test_the_audit_answers_to_its_own_host_only(
    start: Start, path: str, host: str, status: int
) -> None:
    """A page in a browser that resolves its own name to this machine reads no prompts."""
    client = await start()
    origin = client.sandbox.origin
    headers = {"Host": host.format(port=origin.rpartition(":")[2])}

    got = await client.call("GET", f"{origin}/sandbox/{path}", token=None, headers=headers)

    assert got.status == status
