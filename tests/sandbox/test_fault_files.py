"""Faults of downloads, and of how bytes travel, over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

import batchgen
from batchgen.sandbox.faults.table import FAULTS

from .conftest import Client, Start
from .png import decode


async def output(client: Client) -> str:
    """The address of the picture of a finished job."""
    request_id = await client.submit("a fox")
    client.clock.now += 1
    url = (await client.result(request_id)).json["output"]["image"]
    assert isinstance(url, str)
    return url


async def whole(start: Start) -> bytes:
    """The picture as it should be."""
    client = await start()
    return (await client.file(await output(client))).body


async def test_redirects_to_another_path(start: Start) -> None:
    """302 with a path of the same host, under which the file is."""
    client = await start(faults=("file:redirect",))
    got = await client.file(await output(client), allow_redirects=False)
    assert got.status == 302
    moved = got.headers["Location"]
    assert moved.startswith("/moved/files/")
    decode((await client.file(client.sandbox.origin + moved)).body)
    assert client.sandbox.audit.calls["file"] == {"302": 1, "200": 1}


async def test_redirects_to_a_foreign_host(start: Start) -> None:
    """The status of the rule and the address of a host that cannot be ours; submit makes no job."""
    client = await start(
        faults=("file:redirect:to=host:http=307", "submit:redirect:to=host:match=away")
    )
    for got in (
        await client.file(await output(client), allow_redirects=False),
        await client.post("away", allow_redirects=False),
    ):
        assert got.status in (302, 307)
        assert got.headers["Location"] == "https://elsewhere.invalid/1.png"
    assert client.sandbox.audit.calls["file"] == {"307": 1}
    assert client.sandbox.audit.accepted("away") == 0


async def test_bytes_that_come_in_drops(start: Start) -> None:
    """All of the announced bytes, at the speed of the rule."""
    good = await whole(start)
    client = await start(faults=("file:drip:bytes_per_s=100",))
    url = await output(client)
    got = await client.file(url)
    assert got.body == good
    assert int(got.headers["Content-Length"]) == len(good)
    assert sum(client.clock.slept) == pytest.approx(len(good) / 100)
    assert max(client.clock.slept) <= 0.1 + 1e-9
    assert client.sandbox.audit.calls["file"] == {"200": 1}


async def test_bytes_without_a_length(start: Start) -> None:
    """Chunks instead of a Content-Length, whole or in part, every time."""
    good = await whole(start)
    client = await start(faults=("file:chunked",))
    url = await output(client)
    for headers, body in (({}, good), ({"Range": "bytes=10-"}, good[10:])):
        got = await client.file(url, headers=headers)
        assert "Content-Length" not in got.headers
        assert got.headers["Transfer-Encoding"] == "chunked"
        assert got.body == body
    assert client.sandbox.audit.calls["file"] == {"200": 1, "206": 1}


@pytest.mark.parametrize(
    ("rule", "content_type"),
    [("wrong-type", "text/plain"), ("wrong-type:type=image/jpeg", "image/jpeg")],
)
async def test_the_right_bytes_under_a_wrong_name(
    start: Start, rule: str, content_type: str
) -> None:
    """The picture under another Content-Type, the first time."""
    client = await start(faults=(f"file:{rule}",))
    url = await output(client)
    got = await client.file(url)
    assert got.headers["Content-Type"] == content_type
    decode(got.body)
    assert (await client.file(url)).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize(
    ("rule", "content_type"), [("html", "text/html"), ("empty", "application/json")]
)
async def test_a_success_that_is_no_file(start: Start, rule: str, content_type: str) -> None:
    """200 with a page or with nothing; the next try gets the file."""
    client = await start(faults=(f"file:{rule}",))
    url = await output(client)
    got = await client.file(url)
    assert (got.status, got.headers["Content-Type"]) == (200, content_type)
    assert not got.body.startswith(b"\x89PNG")
    decode((await client.file(url)).body)
    assert client.sandbox.audit.calls["file"] == {"200": 2}


async def test_half_a_file_that_looks_whole(start: Start) -> None:
    """Content-Length fits the half that is sent: only the picture itself is torn."""
    good = await whole(start)
    client = await start(faults=("file:short",))
    url = await output(client)
    got = await client.file(url)
    assert got.body == good[: len(good) // 2]
    assert int(got.headers["Content-Length"]) == len(got.body)
    assert (await client.file(url)).body == good


async def test_ranges_that_are_ignored(start: Start) -> None:
    """200 with all bytes, whatever part was asked for, every time."""
    good = await whole(start)
    client = await start(faults=("file:no-range",))
    url = await output(client)
    for _ in range(2):
        got = await client.file(url, headers={"Range": "bytes=10-"})
        assert (got.status, got.body) == (200, good)
        assert "Content-Range" not in got.headers


async def test_a_file_that_is_remade_between_two_ranges(start: Start) -> None:
    """The first GET gets another file: If-Range notices, and parts of both are not a picture."""
    good = await whole(start)
    client = await start(faults=("file:new-etag",))
    url = await output(client)
    first = await client.file(url)
    decode(first.body)
    assert first.body != good
    etag = first.headers["ETag"]
    guarded = await client.file(url, headers={"Range": "bytes=99-", "If-Range": etag})
    assert (guarded.status, guarded.body) == (200, good)
    assert guarded.headers["ETag"] != etag
    rest = await client.file(url, headers={"Range": "bytes=99-"})
    assert rest.status == 206
    with pytest.raises(Exception):  # noqa: B017, PT011 - however it breaks, it is no picture
        decode(first.body[:99] + rest.body)


@pytest.mark.parametrize("status", [403, 404, 410])
@pytest.mark.parametrize("calls", ["", ":first=1"])
async def test_addresses_that_die(start: Start, status: int, calls: str) -> None:
    """The first address is dead for good; the result tells a fresh one that works."""
    client = await start(faults=(f"file:expired-url:http={status}{calls}",))
    url = await output(client)
    request_id = client.sandbox.audit.requests[0].request_id
    assert (await client.result(request_id)).json["output"]["image"] == url
    for _ in range(2):
        assert (await client.file(url)).status == status
    fresh = (await client.result(request_id)).json["output"]["image"]
    assert fresh != url
    for _ in range(2):
        decode((await client.file(fresh)).body)
    assert (await client.file(url)).status == status
    assert client.sandbox.audit.calls["file"] == {str(status): 3, "200": 2}
    assert client.sandbox.audit.accepted("a fox") == 1


@pytest.mark.parametrize("rule", ["truncate", "chunked", "drip", "short", "no-range"])
async def test_heads_have_no_bodies(start: Start, rule: str) -> None:
    """A HEAD whose file is spoiled is a whole answer without a body, and the next call works."""
    client = await start(faults=(f"file:{rule}:every=1",))
    url = await output(client)
    for _ in range(2):
        got = await client.call("HEAD", url, token=None)
        assert (got.status, got.body) == (200, b"")
    assert client.sandbox.audit.calls["file"] == {"200": 2}


async def test_a_slow_answer_of_the_api(start: Start) -> None:
    """Drops are for every kind of call, and the JSON arrives whole."""
    client = await start(faults=("submit:drip:bytes_per_s=100",))
    assert (await client.post("x")).json["request_id"]
    assert sum(client.clock.slept) > 1


def test_the_guide_has_every_fault() -> None:
    """No row of the table is missing in the guide."""
    guide = (Path(batchgen.__file__).parents[1] / "docs" / "sandbox.md").read_text()
    missing = [name for name in FAULTS if f"| `{name}`" not in guide]
    assert missing == []
    options = {option for row in FAULTS.values() for option in row.options}
    assert [option for option in options if f"`{option}`" not in guide] == []
