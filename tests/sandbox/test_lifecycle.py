"""The states of a request: queue, status, result, cancel, as time goes by."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.core.model_entry import ModelEntry

from .conftest import Client, Start


async def words(client: Client, request_id: str) -> tuple[str, str, int | None]:
    """The words of status and result, and the position."""
    status, result = await client.status(request_id), await client.result(request_id)
    assert status.status == result.status == 200
    return status.json["status"], result.json["status"], status.json.get("queue_position")


async def test_a_request_walks_through_its_states(start: Start) -> None:
    """in_queue with positions down to 1, in_progress, completed; the result says succeeded."""
    client = await start(capacity=1)
    ids = [await client.submit(f"job {number}") for number in range(3)]
    seen = []
    for _ in range(4):
        seen.append(await words(client, ids[2]))
        client.clock.now += 1
    assert seen == [
        ("in_queue", "in_queue", 2),
        ("in_queue", "in_queue", 1),
        ("in_progress", "in_progress", None),
        ("completed", "succeeded", None),
    ]


async def test_status_has_the_documented_fields_only(start: Start) -> None:
    """request_id, status and two addresses; queue_position only while it waits."""
    client = await start(capacity=1)
    running, waiting = await client.submit("a"), await client.submit("b")
    fields = {"request_id", "status", "status_url", "result_url"}
    assert set((await client.status(running)).json) == fields
    assert set((await client.status(waiting)).json) == fields | {"queue_position"}


async def test_results_have_outputs_only_after_success(start: Start) -> None:
    """No output and no finished_at before the end; then both, and the cost only when asked for."""
    client = await start()
    request_id = await client.submit("a fox")
    early = (await client.result(request_id, "?include_cost=true")).json
    assert set(early) == {"request_id", "status", "created_at"}
    client.clock.now += 1
    plain = (await client.result(request_id)).json
    assert set(plain) == {"request_id", "status", "output", "created_at", "finished_at"}
    assert plain["output"] == {"image": f"{client.sandbox.origin}/files/{request_id}/1.png"}
    assert plain["finished_at"].endswith("+00:00")
    assert plain["created_at"] < plain["finished_at"]
    assert (await client.result(request_id, "?include_cost=true")).json["cost"] == 0.03
    assert "cost" not in (await client.result(request_id, "?include_cost=false")).json


async def test_several_pictures_come_as_a_list(start: Start) -> None:
    """With more images per job the output is `images`; force_single still gives one `image`."""
    client = await start(images=3)
    many = await client.submit({"prompt": "x"})
    single = await client.submit({"prompt": "x", "force_single": True})
    client.clock.now += 1
    result = (await client.result(many, "?include_cost=true")).json
    assert len(set(result["output"]["images"])) == 3
    assert result["cost"] == 0.09
    assert list((await client.result(single)).json["output"]) == ["image"]


@pytest.mark.parametrize(
    ("model", "key", "content_type"),
    [("a/text-to-audio", "audio", "audio/wav"), ("a/image-to-video", "video", "image/png")],
)
async def test_other_kinds_of_models_name_their_kind(
    start: Start, model: str, key: str, content_type: str
) -> None:
    """Audio models give a WAV under `audio`; video models a still picture under `video`."""
    client = await start(models=(ModelEntry(model_id=model),))
    request_id = await client.submit({"prompt": "x"}, model=model)
    client.clock.now += 1
    output = (await client.result(request_id)).json["output"]
    assert list(output) == [key]
    assert (await client.file(output[key])).headers["Content-Type"] == content_type


async def test_the_other_success_word(start: Start) -> None:
    """Results can say `completed` for success, as the vendor's fixtures do."""
    client = await start(success_word="completed")
    request_id = await client.submit("x")
    client.clock.now += 1
    assert (await client.result(request_id)).json["status"] == "completed"


async def test_only_waiting_jobs_can_be_cancelled(start: Start) -> None:
    """202 always; `cancelled` while it waits, `not_cancellable` in every other state."""
    client = await start(capacity=1, balance_usd=10)
    running, waiting, behind = [await client.submit(f"job {n}") for n in range(3)]
    outcomes = []
    for request_id in (running, waiting, waiting):
        got = await client.cancel(request_id)
        assert got.status == 202
        assert got.json["request_id"] == request_id
        outcomes.append(got.json["outcome"])
    assert outcomes == ["not_cancellable", "cancelled", "not_cancellable"]
    assert await words(client, waiting) == ("cancelled", "cancelled", None)
    assert (await words(client, behind))[2] == 1
    assert "output" not in (await client.result(waiting)).json
    client.clock.now += 1
    assert (await client.cancel(running)).json["outcome"] == "not_cancellable"
    assert (await words(client, behind))[0] == "in_progress", "nobody waits for a cancelled job"


async def test_a_cancelled_job_costs_nothing(start: Start) -> None:
    """A cancelled job is refunded; a running one is not."""
    client = await start(capacity=1, balance_usd=10)
    ids = [await client.submit(f"job {n}") for n in range(2)]
    for request_id in ids:
        await client.cancel(request_id)
    assert client.sandbox.audit.balance_usd == 9.97


async def test_unknown_requests_are_404001(start: Start) -> None:
    """Ids that never were, whatever they look like."""
    client = await start()
    for request_id in ("0" * 32, "x", "~"):
        for call in (client.status, client.result, client.cancel):
            got = await call(request_id)
            assert (got.status, got.json["error_code"]) == (404, 404001)


async def test_durations_come_from_the_seed(start: Start) -> None:
    """The same seed runs the same job for as long every time, within the limits; jobs differ."""

    async def durations(**settings: Any) -> list[str]:
        client = await start(duration_min_s=1.0, duration_max_s=9.0, capacity=99, **settings)
        ids = [await client.submit(f"job {n % 8}") for n in range(16)]
        begin, client.clock.now = client.clock.now, client.clock.now + 20
        results = [(await client.result(request_id)).json for request_id in ids]
        client.clock.now = begin
        return [result["finished_at"] for result in results]

    first = await durations(seed=1)
    assert first == await durations(seed=1)
    assert first != await durations(seed=2)
    assert len(set(first)) == 16, "a second attempt takes its own time"


async def test_unknown_paths_and_wrong_methods(start: Start) -> None:
    """404 for paths outside the API, 405 for a method that a path does not have."""
    client = await start()
    request_id = await client.submit("x")
    for method, path, status in (
        ("GET", "/nothing", 404), ("GET", f"/requests/{request_id}", 404),
        ("GET", f"/requests/{request_id}/nothing", 404), ("GET", "/requests", 404),
        ("POST", f"/requests/{request_id}/status", 405), ("DELETE", "/models", 405),
        ("GET", f"/requests/{request_id}/cancel", 405),
    ):  # fmt: skip
        assert (await client.call(method, path)).status == status, (method, path)
