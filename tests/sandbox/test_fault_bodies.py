"""Faults of states, results, cancellations and the catalogue over real HTTP."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from batchgen.core.model_entry import ModelEntry
from batchgen.sandbox.faults.kinds import MISSING, SHAPES
from tests.kit import MODEL

from .conftest import Client, Start


async def finished(client: Client, body: Any = "a fox", **options: Any) -> str:
    """The request_id of a job that has run."""
    request_id = await client.submit(body, **options)
    client.clock.now += 1
    return request_id


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("message", {"message": "Bad Gateway"}),
        ("error_code", {"error_code": 502001, "error_message": "made to fail by the sandbox"}),
        ("code", {"code": 502001, "error": "made to fail by the sandbox"}),
        ("detail", {"detail": "made to fail by the sandbox"}),
        ("details", {"detail": [{"loc": ["body"], "msg": "made to fail by the sandbox",
                                 "type": "sandbox"}]}),
    ],
)  # fmt: skip
async def test_errors_in_every_known_body(start: Start, body: str, seen: Any) -> None:
    """`body=` gives an HTTP error each of the shapes that clients read."""
    client = await start(faults=(f"status:502:body={body}",))
    got = await client.status(await client.submit("x"))
    assert (got.status, got.json) == (502, seen)


async def test_errors_without_json(start: Start) -> None:
    """A status may come with a web page, or with nothing at all."""
    client = await start(faults=("submit:503:body=html:first=1", "submit:503:body=empty"))
    page, nothing = await client.post("x"), await client.post("x")
    assert (page.status, page.headers["Content-Type"]) == (503, "text/html")
    assert page.body.startswith(b"<!doctype html>")
    assert (nothing.status, nothing.body) == (503, b"")
    assert client.sandbox.audit.calls["submit"] == {"503": 2}
    assert client.sandbox.audit.accepted("x") == 0


async def test_retry_after_as_a_date(start: Start) -> None:
    """`retry_after_date=90` names the moment 90 seconds from now."""
    client = await start(faults=("submit:429:retry_after_date=90",))
    date = (await client.post("x")).headers["Retry-After"]
    assert date.endswith("GMT")
    assert parsedate_to_datetime(date).timestamp() == client.clock.now + 90


async def test_a_success_of_no_bytes(start: Start) -> None:
    """200 with an empty body; whether there is a job, the rule says."""
    client = await start(faults=("submit:empty:accepted=yes:first=1", "submit:empty"))
    for accepted in (1, 1):
        got = await client.post("x")
        assert (got.status, got.body) == (200, b"")
        assert client.sandbox.audit.accepted("x") == accepted
    assert client.sandbox.audit.received("x") == 2


async def test_a_submission_with_nothing_but_its_id(start: Start) -> None:
    """`no-urls` leaves the request_id alone on submit, and the state on status."""
    client = await start(capacity=1, faults=("submit:no-urls", "status:no-urls"))
    running = (await client.post("x")).json
    waiting = (await client.post("x")).json
    assert set(running) == set(waiting) == {"request_id"}
    for _ in range(2):
        assert (await client.status(waiting["request_id"])).json == {
            "request_id": waiting["request_id"], "status": "in_queue", "queue_position": 1,
        }  # fmt: skip
    assert client.sandbox.audit.accepted("x") == 2


async def test_a_queue_without_positions(start: Start) -> None:
    """in_queue without queue_position, every time asked."""
    client = await start(capacity=1, faults=("status:no-position",))
    await client.submit("x")
    waiting = await client.submit("x")
    for _ in range(2):
        body = (await client.status(waiting)).json
        assert body["status"] == "in_queue"
        assert "queue_position" not in body


async def test_undocumented_words(start: Start) -> None:
    """`word` puts another state into status and result, once or as long as the rule says."""
    client = await start(faults=("status:word", "result:word:word=post processing:every=1"))
    request_id = await finished(client)
    words = [(await client.status(request_id)).json["status"] for _ in range(2)]
    assert words == ["warming_up", "completed"]
    words = [(await client.result(request_id)).json["status"] for _ in range(2)]
    assert words == ["post processing"] * 2
    assert set((await client.status("unknown")).json) == {"error_code", "error_message"}


@pytest.mark.parametrize("shape", [*SHAPES, MISSING])
async def test_failures_in_every_shape(start: Start, shape: str) -> None:
    """`error` has the asked shape, words and code; `missing` has none; status may say failed."""
    client = await start(
        faults=(f"submit:failed:shape={shape}:word=failed:code=422007:message=no: moderated",)
    )
    request_id = await finished(client)
    assert (await client.status(request_id)).json["status"] == "failed"
    result = (await client.result(request_id)).json
    assert result["status"] == "failed"
    assert ("error" in result) == (shape != MISSING)
    error = str(result.get("error"))
    assert ("no: moderated" in error) == (shape not in ("number", "null", MISSING))
    assert ("422007" in error) == (shape in ("list", "details", "nested", "number"))
    assert [request.state for request in client.sandbox.audit.requests] == ["failed"]


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("string", lambda urls: urls[0]),
        ("list", lambda urls: urls),
        ("nested", lambda urls: {"results": [{"file": {"url": u, "width": 128}} for u in urls],
                                 "seed": 7}),
        ("twice", lambda urls: {"audios": urls * 2}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("images", [1, 3])
async def test_outputs_in_every_shape(start: Start, kind: str, seen: Any, images: int) -> None:
    """`output` is a string, a list, objects in a list, or doubled; the files are the same."""
    client = await start(images=images, faults=(f"result:output-{kind}",))
    request_id = await client.submit("a fox")
    assert "output" not in (await client.result(request_id)).json
    client.clock.now += 1
    base = f"{client.sandbox.origin}/files/{request_id}"
    urls = [f"{base}/{number}.png" for number in range(1, images + 1)]
    for _ in range(2):
        assert (await client.result(request_id)).json["output"] == seen(urls)
    assert (await client.file(urls[-1])).status == 200


async def test_a_result_that_repeats_the_input(start: Start) -> None:
    """`input` holds what was sent and an address that is no output; fetching it is counted."""
    client = await start(faults=("result:echo-input",))
    request_id = await finished(client)
    result = (await client.result(request_id)).json
    assert result["input"]["prompt"] == "a fox"
    trap = result["input"]["image_url"]
    assert trap not in result["output"].values()
    assert (await client.file(trap)).status == 404
    assert client.sandbox.audit.calls["file"] == {"404": 1}
    own = {"prompt": "x", "image_url": "https://example.com/mine.png"}
    result = (await client.result(await finished(client, own))).json
    assert result["input"] == own


async def test_times_out_of_order(start: Start) -> None:
    """created_at lies behind finished_at, in another notation."""
    client = await start(faults=("result:odd-times",))
    result = (await client.result(await finished(client))).json
    assert result["created_at"].endswith("Z")
    assert result["finished_at"].endswith("+00:00")
    assert result["created_at"][:19] > result["finished_at"][:19]


@pytest.mark.parametrize("place", ["submit", "result"])
async def test_requests_that_are_forgotten(start: Start, place: str) -> None:
    """After `after_s` seconds status, result, cancel and files are 404, for good."""
    client = await start(faults=(f"{place}:expired:after_s=5:match=old",))
    old, other = await client.submit("old"), await client.submit("other")
    client.clock.now += 1
    url = (await client.result(old)).json["output"]["image"]
    assert (await client.file(url)).status == 200
    client.clock.now += 4
    for _ in range(2):
        for call in (client.status, client.result, client.cancel):
            assert (await call(old)).json["error_code"] == 404001
        assert (await client.file(url)).status == 404
    assert (await client.result(other)).json["status"] == "succeeded"
    assert client.sandbox.audit.accepted("old") == 1


async def test_requests_that_are_forgotten_at_once(start: Start) -> None:
    """Without `after_s` a paid job is never seen again, even while it runs."""
    client = await start(faults=("submit:expired",))
    request_id = await client.submit("x")
    assert (await client.status(request_id)).json["error_code"] == 404001
    assert client.sandbox.audit.balance_usd == 999.97


@pytest.mark.parametrize(
    ("options", "http", "outcome"),
    [("", 202, "cancelled"), (":word=not_cancellable:http=200", 200, "not_cancellable"),
     (":word=cancellation_requested", 202, "cancellation_requested")],
)  # fmt: skip
async def test_cancellations_that_are_not_what_they_say(
    start: Start, options: str, http: int, outcome: str
) -> None:
    """The answer names an outcome, and the job runs on and stays paid."""
    client = await start(capacity=1, faults=(f"cancel:outcome{options}",))
    await client.submit("first")
    waiting = await client.submit("waiting")
    got = await client.cancel(waiting)
    assert (got.status, got.json["outcome"]) == (http, outcome)
    assert got.json["request_id"] == waiting
    client.clock.now += 2
    assert (await client.result(waiting)).json["status"] == "succeeded"
    assert client.sandbox.audit.balance_usd == 999.94


SCHEMA = {"properties": {"prompt": {"type": "string"}}}
ENTRIES = tuple(
    ModelEntry(model_id=f"maker/{name}/text-to-image", input_schema=SCHEMA, base_price_usd=0.5)
    for name in ("one", "two")
)


async def test_a_model_is_withdrawn(start: Start) -> None:
    """From a moment on it is in no listing and takes no job; jobs that it has taken go on."""
    client = await start(models=ENTRIES, faults=("any:withdrawn:model=maker/one:from_s=10",))
    one, two = (entry.model_id for entry in ENTRIES)
    before = await client.submit("before", model=one)
    listed = (await client.call("GET", "/models")).json
    assert one in [model["model_id"] for model in listed["models"]]
    client.clock.now += 10
    for _ in range(2):
        assert (await client.post("after", model=one)).json["error_code"] == 404001
        assert (await client.call("GET", f"/models/{one}")).json["error_code"] == 404001
        after = (await client.call("GET", "/models")).json
        assert after["total"] == len(after["models"]) == listed["total"] - 1
        assert one not in [model["model_id"] for model in after["models"]]
    assert (await client.call("GET", f"/models/{two}")).status == 200
    assert (await client.call("GET", "/models/categories")).status == 200
    await client.submit("after", model=two)
    assert (await client.result(before)).json["status"] == "succeeded"
    accepted = [(r.prompt, r.model) for r in client.sandbox.audit.requests]
    assert accepted == [("before", one), ("after", two)]


async def test_all_models_are_withdrawn(start: Start) -> None:
    """Without `model=` the catalogue is empty, and still answers."""
    client = await start(faults=("catalogue:withdrawn",))
    assert (await client.call("GET", "/models")).json == {"models": [], "total": 0}
    assert (await client.call("GET", f"/models/{MODEL}")).status == 404
    assert (await client.call("GET", "/models/categories")).status == 200


@pytest.mark.parametrize(
    ("rule", "gone", "changed"),
    [
        ("no-price", {"base_price_usd", "price_unit", "pricing_note"}, {}),
        ("no-schema", {"input_schema"}, {}),
        ("price-unit", set(), {"price_unit": "megapixel"}),
        ("price-unit:unit=minute", set(), {"price_unit": "minute"}),
    ],
)
async def test_entries_that_lack_something(
    start: Start, rule: str, gone: set[str], changed: dict[str, str]
) -> None:
    """Listing and single entry lack it or say another thing; other models are as they were."""
    good = await start(models=ENTRIES)
    client = await start(models=ENTRIES, faults=(f"catalogue:{rule}:model=maker/one",))
    query = "/models?include_schema=true&search=maker"
    before = (await good.call("GET", query)).json["models"]
    for _ in range(2):
        after = (await client.call("GET", query)).json["models"]
        expected = {k: v for k, v in before[0].items() if k not in gone} | changed
        assert after == [expected, before[1]]
        one = (await client.call("GET", f"/models/{ENTRIES[0].model_id}")).json
        assert one == expected
    await client.submit("x", model=ENTRIES[0].model_id)
    assert client.sandbox.audit.accepted("x") == 1


async def test_a_token_is_revoked(start: Start) -> None:
    """From a moment on every call with the token is 400004; files need none and go on."""
    client = await start(faults=("any:revoked:from_s=10",))
    request_id = await finished(client)
    url = (await client.result(request_id)).json["output"]["image"]
    client.clock.now += 9
    balance = f"{client.sandbox.origin}/prod/v2/balance"
    for got in (
        await client.post("late"), await client.status(request_id),
        await client.result(request_id), await client.cancel(request_id),
        await client.call("GET", "/models"), await client.call("GET", f"/models/{MODEL}"),
        await client.call("GET", balance),
    ):  # fmt: skip
        assert (got.status, got.json["error_code"]) == (400, 400004)
    assert (await client.file(url)).status == 200
    assert client.sandbox.audit.accepted("late") == 0


async def test_a_wallet_is_emptied_by_somebody_else(start: Start) -> None:
    """From a moment on submissions are 400002; what is in flight can be collected."""
    client = await start(faults=("submit:no-balance:from_s=1",))
    request_id = await finished(client)
    got = await client.post("late")
    assert (got.status, got.json["error_code"]) == (400, 400002)
    assert (await client.result(request_id)).json["status"] == "succeeded"
    assert client.sandbox.audit.accepted("late") == 0


@pytest.mark.parametrize(
    ("style", "token", "balance", "unknown"),
    [
        ("codes", (400, 400004), (400, 400002), (404, 404001)),
        ("statuses", (401, None), (402, None), (404, 404001)),
        ("http-200", (200, 400004), (200, 400002), (200, 404001)),
    ],
)
async def test_errors_in_every_style(
    start: Start, style: str, token: Any, balance: Any, unknown: Any
) -> None:
    """A bad token, an empty wallet and an unknown id come as the style has them."""
    client = await start(balance_usd=0.0, error_style=style)

    def seen(got: Any) -> tuple[int, int | None]:
        return got.status, got.json.get("error_code")

    assert seen(await client.status("x", token="wrong")) == token
    assert seen(await client.post("x")) == balance
    assert seen(await client.status("x")) == unknown
    assert client.sandbox.audit.calls["submit"] == {str(balance[0]): 1}
    assert client.sandbox.audit.accepted("x") == 0
