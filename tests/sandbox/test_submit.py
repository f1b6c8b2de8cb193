"""Submissions: accepted or refused, and their price."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yarl

from batchgen.core.errors import UsageError
from batchgen.core.model_entry import ModelEntry
from batchgen.sandbox import Sandbox, SandboxConfig
from tests.kit import MODEL

from .conftest import Start


async def test_accepted_jobs_get_an_id_and_three_addresses(start: Start) -> None:
    """200 with request_id and the addresses of status, result and cancel under the same base."""
    client = await start()
    got = await client.post("a lighthouse")
    assert got.status == 200
    request_id = got.json["request_id"]
    base = f"{client.sandbox.base_url}/requests/{request_id}"
    assert got.json == {
        "request_id": request_id,
        "status_url": f"{base}/status",
        "result_url": f"{base}/result",
        "cancel_url": f"{base}/cancel",
    }


async def test_equal_bodies_are_separate_paid_jobs(start: Start) -> None:
    """Nothing dedupes: the same body twice is two jobs, two debits, attempts 1 and 2."""
    client = await start(balance_usd=1.0)
    assert await client.submit("twice") != await client.submit("twice")
    assert client.sandbox.audit.received("twice") == client.sandbox.audit.accepted("twice") == 2
    assert [request.attempt for request in client.sandbox.audit.requests] == [1, 2]
    assert client.sandbox.audit.balance_usd == 0.94


@pytest.mark.parametrize(
    ("body", "place", "kind"),
    [
        ({}, ["body", "prompt"], "missing"),
        ({"prompt": "x" * 801}, ["body", "prompt"], "string_too_long"),
        ({"prompt": "😀" * 801}, ["body", "prompt"], "string_too_long"),
        ({"prompt": 3}, ["body", "prompt"], "type_error"),
        ({"prompt": "x", "scale": 1.01}, ["body", "scale"], "less_than_equal"),
        ({"prompt": "x", "scale": -1}, ["body", "scale"], "greater_than_equal"),
        ({"prompt": "x", "scale": "0.5"}, ["body", "scale"], "type_error"),
        ({"prompt": "x", "force_single": "yes"}, ["body", "force_single"], "type_error"),
        ({"prompt": "x", "width×height": "2048x2048"}, ["body", "width×height"], "enum"),
        (["prompt"], ["body"], "type_error"),
        ("just text", ["body"], "type_error"),
        (None, ["body"], "type_error"),
    ],
)
async def test_inputs_that_break_the_schema_are_refused(
    start: Start, body: Any, place: list[str], kind: str
) -> None:
    """422 with code 422001, a message and the exact place; nothing is accepted or debited."""
    client = await start()
    raw = msgspec.json.encode(body)
    got = await client.call("POST", f"/models/{MODEL}", data=raw)
    assert got.status == 422
    assert got.json["error_code"] == 422001
    assert got.json["detail"][0]["loc"] == place
    assert got.json["detail"][0]["type"] == kind
    assert got.json["detail"][0]["msg"] in got.json["error_message"]
    assert client.sandbox.audit.requests == []
    assert client.sandbox.audit.balance_usd == 1000


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x" * 800},
        {"prompt": "😀" * 800},
        {"prompt": "x", "scale": 0},
        {"prompt": "x", "scale": 1, "force_single": True},
        {"prompt": "x", "width×height": "2560x1440(16:9)"},
        {"prompt": "x", "widthxheight": 7, "no such key": [None]},
    ],
)
async def test_limits_are_inclusive_and_unknown_keys_pass(start: Start, body: Any) -> None:
    """Lengths count code points, limits are inclusive, unknown keys are silently ignored."""
    client = await start()
    await client.submit(body)


async def test_a_body_that_is_no_json_is_refused(start: Start) -> None:
    """Half a JSON text and no text at all are refused like any bad input."""
    client = await start()
    for raw in (b'{"prompt": "x', b"\xff", b""):
        got = await client.call("POST", f"/models/{MODEL}", data=raw)
        assert (got.status, got.json["error_code"]) == (422, 422001)


async def test_a_model_without_a_schema_takes_any_object(start: Start) -> None:
    """Whatever its keys, the body must still be an object."""
    client = await start(models=(ModelEntry(model_id="a/b"),))
    await client.submit({"anything": [1]}, model="a/b")
    assert (await client.post([1], model="a/b")).status == 422


async def test_large_bodies_are_taken(start: Start) -> None:
    """A picture as data URI of some MB fits; beyond 64 MiB it is 413."""
    client = await start()
    large = msgspec.json.encode({"prompt": "x", "image": "data:," + "A" * 3_000_000})
    for body, status in ((large, 200), (b" " * (64 * 2**20 + 1), 413)):
        got = await client.call("POST", f"/models/{MODEL}", data=io.BytesIO(body))
        assert got.status == status


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("dreamina", 400, 400001),
        ("a/b%20c", 400, 400001),
        ("a/../b/..", 400, 400001),
        ("a//b", 400, 400001),
        ("unknown/model/id", 404, 404001),
    ],
)
async def test_unknown_and_malformed_models_are_refused(
    start: Start, model: str, status: int, code: int
) -> None:
    """A malformed id is 400001, an unknown one 404, on submit and in the catalogue alike."""
    client = await start()
    address = yarl.URL(f"{client.sandbox.base_url}/models/{model}", encoded=True)
    headers = {"Authorization": f"Bearer {client.sandbox.token}"}
    for method in ("POST", "GET"):
        async with client.session.request(
            method, address, headers=headers, json={"prompt": "x"}
        ) as got:
            assert got.status == status
            assert (await got.json())["error_code"] == code


async def test_the_token_is_checked_on_every_call(start: Start) -> None:
    """A missing or wrong token is 400004 with HTTP 400 everywhere but on files."""
    client = await start()
    request_id = await client.submit("mine")
    calls = [
        ("POST", f"/models/{MODEL}"), ("GET", "/models"), ("GET", f"/models/{MODEL}"),
        ("GET", "/models/categories"), ("GET", f"/requests/{request_id}/status"),
        ("GET", f"/requests/{request_id}/result"), ("POST", f"/requests/{request_id}/cancel"),
        ("GET", f"{client.sandbox.origin}/prod/v2/balance"),
    ]  # fmt: skip
    for method, path in calls:
        for token in (None, "wrong"):
            got = await client.call(method, path, token=token)
            assert (got.status, got.json["error_code"]) == (400, 400004), path
    assert len(client.sandbox.audit.requests) == 1


async def test_another_account_sees_nothing_of_a_request(start: Start) -> None:
    """403001 for status, result and cancel of a request of another token."""
    client = await start(more_tokens=("other-token",), capacity=1)
    request_id = await client.submit("mine")
    for call in (client.status, client.result, client.cancel):
        got = await call(request_id, token="other-token")
        assert (got.status, got.json["error_code"]) == (403, 403001)
    assert (await client.status(await client.submit("yours", token="other-token"))).status == 403


async def test_an_empty_balance_refuses_new_jobs_only(start: Start) -> None:
    """400002 once the wallet does not cover a job; what was accepted can still be collected."""
    client = await start(balance_usd=0.07)
    first = await client.submit("one")
    await client.submit("two")
    got = await client.post("three")
    assert (got.status, got.json["error_code"]) == (400, 400002)
    balance = await client.call("GET", f"{client.sandbox.origin}/prod/v2/balance")
    assert balance.json == {
        "balance_microdollars": 10_000, "balance_usd": 0.01, "currency": "USD"
    }  # fmt: skip
    client.clock.now += 2
    assert (await client.result(first)).json["status"] == "succeeded"


async def test_prices_follow_the_entry(start: Start) -> None:
    """Per output times the pictures, per second times the duration, made up if none is named."""
    entries = (
        ModelEntry(model_id="a/per-output", base_price_usd=0.1, price_unit="output"),
        ModelEntry(model_id="a/text-to-video", base_price_usd=0.2, price_unit="second"),
        ModelEntry(model_id="a/unpriced"),
        ModelEntry(model_id="a/free", base_price_usd=0.0, price_unit="output"),
    )
    client = await start(models=entries, images=3, balance_usd=10)
    spent = []
    for model, body in (
        ("a/per-output", {}), ("a/per-output", {"force_single": True}),
        ("a/text-to-video", {"duration": 7}), ("a/unpriced", {}), ("a/free", {}),
    ):  # fmt: skip
        before = client.sandbox.audit.balance_usd
        await client.submit(body, model=model)
        spent.append(round(before - client.sandbox.audit.balance_usd, 6))
    assert spent == [0.3, 0.1, 1.4, 0.09, 0.0]


async def test_published_types_are_understood(start: Start) -> None:
    """float, int, str and bool mean what they say, an unknown type means nothing."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "f": {"type": "float"}, "i": {"type": "int"}, "s": {"type": "str"},
            "b": {"type": "bool"}, "u": {"type": "image_thing"},
            "l": {"type": "array", "items": {"type": "float"}},
            "type": {"type": "str"},
        },
    }  # fmt: skip
    client = await start(models=(ModelEntry(model_id="a/b", input_schema=schema),))
    good = {"f": 1.5, "i": 2, "s": "x", "b": True, "u": {}, "l": [1.5], "type": "x", "new": 1}
    await client.submit(good, model="a/b")
    for key, bad in (
        ("f", "1"), ("i", 1.5), ("s", 1), ("b", "true"), ("l", ["x"]), ("type", 1)
    ):  # fmt: skip
        assert (await client.post({**good, key: bad}, model="a/b")).status == 422, key


async def test_models_come_from_files_and_directories(start: Start, tmp_path: Path) -> None:
    """One entry, a list and a catalogue page are read; anything else is a usage error."""
    (tmp_path / "one.json").write_text('{"model_id": "a/one", "input_schema": {}}')
    (tmp_path / "two.json").write_text('[{"model_id": "a/two"}, {"model_id": "a/three"}]')
    (tmp_path / "four.json").write_text('{"models": [{"model_id": "a/four"}], "total": 1}')
    client = await start(models=(tmp_path,))
    for name in ("one", "two", "three", "four"):
        await client.submit({"prompt": "x"}, model=f"a/{name}")
    bad = tmp_path / "bad.json"
    for content in ("{}", "[1]", "nope", '{"model_id": "flat"}',
                    '{"model_id": "a/b", "input_schema": {"properties": 3}}'):  # fmt: skip
        bad.write_text(content)
        with pytest.raises(UsageError):
            Sandbox(SandboxConfig(models=(bad,)))
    with pytest.raises(UsageError, match=r"gone\.json"):
        Sandbox(SandboxConfig(models=(tmp_path / "gone.json",)))


@pytest.mark.parametrize(
    "settings",
    [
        {"capacity": 0}, {"images": 0}, {"balance_usd": -1}, {"price_usd": float("nan")},
        {"duration_min_s": 2.0, "duration_max_s": 1.0}, {"success_word": "done"},
        {"token": ""}, {"token": "two words"}, {"duration_max_s": float("inf")},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """A wrong setting is an error before anything is started."""
    with pytest.raises(UsageError):
        SandboxConfig(**settings)


@pytest.mark.parametrize("depth", [65, 500, 990, 5_000, 100_000])
async def test_a_nested_body_is_refused(start: Start, depth: int) -> None:
    """It is not JSON that any model takes, and no error of the server."""
    client = await start()
    body = b'{"prompt": "x", "more": ' + b"[" * depth + b"]" * depth + b"}"

    got = await client.call("POST", f"{client.sandbox.base_url}/models/{MODEL}", data=body)

    assert 400 <= got.status < 500
