"""The check of input files: small requests, no token, and nothing of a private network."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgen.api.input_file_check import InputFileCheck
from batchgen.core.input_files import MB, MediaInput
from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import UrlPolicy
from batchgen.ports import Clock
from batchgen.system.clock import SystemClock
from tests.kit.live import batchgen, write_csv
from tests.outputs.host import Handler, server


def at(url: str, parameter: str = "image_url", limit_mb: int | None = None) -> MediaInput:
    return MediaInput(url=url, where="m.csv:2: x", parameter=parameter, limit_mb=limit_mb)


class RecordedClock(SystemClock):
    """A clock that does not wait, and shows what a test sets."""

    at_s = 60.0

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def now_s(self) -> float:
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)


@asynccontextmanager
async def checker(
    *, clock: Clock | None = None, local: bool = True, **more: Any
) -> AsyncIterator[InputFileCheck]:
    async with HttpGet(UrlPolicy(local=local)) as http:
        yield InputFileCheck(http=http, clock=clock or SystemClock(), **more)


async def fault(handler: Handler, **how: object) -> str | None:
    """What is said of a file that a server gives."""
    async with server(handler) as origin, checker() as check:
        return await check.fault(at(f"{origin}/file.png?X-Signature=s3cret", **how))  # type: ignore[arg-type]


def answering(status: int = 200, *, mb: float = 1, kind: str = "image/png") -> Handler:
    """A HEAD is answered with these."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        response.content_type = kind
        response.content_length = int(mb * MB)
        await response.prepare(request)
        return response

    return answer


async def test_a_file_that_is_there() -> None:
    """One HEAD, without token, cookies or referrer."""
    seen: list[web.Request] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await answering()(request)

    assert await fault(remember) is None
    assert [request.method for request in seen] == ["HEAD"]
    assert not {"Authorization", "Cookie", "Referer"} & set(seen[0].headers)


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (answering(404), "answers 404"),
        (answering(401), "no login"),
        (answering(403), "no login"),
        (answering(503), "answers 503"),
        (answering(kind="text/html"), "web page"),
        (answering(mb=51), "at most 50 MB"),
    ],
)
async def test_what_the_api_could_not_fetch(handler: Handler, says: str) -> None:
    """Each in a sentence that names the address, without the signature in its query."""
    found = await fault(handler)

    assert found is not None
    assert says in found
    assert "/file.png?…" in found
    assert "s3cret" not in found


async def test_the_limits_of_the_model_page() -> None:
    """50 MB for images, 100 MB for videos, and less if the model's own page says so."""
    video = answering(mb=99, kind="video/mp4")
    large = answering(mb=99, kind="application/octet-stream")

    assert await fault(video, parameter="image_url") is None
    assert await fault(large, parameter="video_url") is None
    assert "at most 50 MB" in str(await fault(large, parameter="image_url"))
    assert "at most 30 MB" in str(await fault(answering(mb=31), limit_mb=30))
    assert "at most 100 MB" in str(await fault(answering(mb=101, kind="video/mp4")))


@pytest.mark.parametrize("status", [400, 403, 405, 501])
async def test_a_server_without_head_is_asked_for_one_byte(status: int) -> None:
    """A pre-signed address refuses a HEAD as well; the size is the one of the whole file."""
    asked: list[tuple[str, str | None]] = []

    async def only_get(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.headers.get("Range")))
        if request.method == "HEAD":
            return web.Response(status=status)
        headers = {"Content-Range": f"bytes 0-0/{60 * MB}"}
        return web.Response(status=206, body=b"x", headers=headers, content_type="image/png")

    assert "at most 50 MB" in str(await fault(only_get))
    assert asked == [("HEAD", None), ("GET", "bytes=0-0")]


async def test_the_file_itself_is_not_downloaded() -> None:
    """A server that ignores the range is hung up on."""
    cut = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=405)
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            cut.set()
            return response

    async with server(endless) as origin, checker() as check:
        assert await check.fault(at(f"{origin}/a.png")) is None
        await asyncio.wait_for(cut.wait(), 10)


async def test_a_redirect_that_would_be_refused_is_reported() -> None:
    """In the same words as an address that is refused itself."""

    async def lead_astray(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})

    assert "cannot be fetched by the API" in str(await fault(lead_astray))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a", "https://10.1.2.3/a", "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a", "https://[::ffff:192.168.0.1]/a", "https://[fd00::1]/a",
        "https://0.0.0.0/a", "https://224.0.0.1/a", "https://[64:ff9b::a00:1]/a",
        "https://127.0.0.1./a", "http://example.com/a", "https://user:pw@example.com/a",
        "https://127.0.0.1\\@example.com/a",
    ],
)  # fmt: skip
async def test_addresses_that_are_never_asked(url: str) -> None:
    """Private in any spelling, not https, or dressed up."""
    async with checker(local=False) as check:
        assert "cannot be fetched by the API" in str(await check.fault(at(url)))


async def test_a_name_that_resolves_to_a_private_address() -> None:
    """Refused when it is resolved: no connection reaches the server."""
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    listener = await asyncio.start_server(count, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, checker(local=False) as check:
        found = await check.fault(at(f"https://localhost:{port}/a.png"))

    assert "private network" in str(found)
    assert connections == 0


async def test_a_host_that_hangs_is_given_up_in_time() -> None:
    """One slow server does not hold up the check."""
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with server(hang) as origin, checker(timeout_s=0.05) as check:
        found = await asyncio.wait_for(check.fault(at(f"{origin}/a")), 2)
        release.set()

    assert "no answer within 0.05 s" in str(found)


@pytest.mark.parametrize("retry_after", ["4", "Thu, 01 Jan 1970 00:01:04 GMT"])
async def test_a_busy_host_is_asked_again_when_it_says(retry_after: str) -> None:
    """In seconds or as a date; sixteen requests at once may be too many for a host that is fine."""
    clock, answers = RecordedClock(), [503, 200]

    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=answers.pop(0), headers={"Retry-After": retry_after})

    async with server(busy) as origin, checker(clock=clock) as check:
        assert await check.fault(at(f"{origin}/a.png")) is None
    assert clock.slept_s == [4.0]


async def test_a_host_that_stays_busy_is_reported() -> None:
    """After one more request, or at once if it asks for more time than the check has."""
    for retry_after, requests in (("1", 2), ("60", 1)):
        asked = 0

        async def busy(request: web.Request, retry_after: str = retry_after) -> web.StreamResponse:
            nonlocal asked
            asked += 1
            return web.Response(status=503, headers={"Retry-After": retry_after})

        async with server(busy) as origin, checker(clock=RecordedClock()) as check:
            assert "answers 503" in str(await check.fault(at(f"{origin}/a.png")))
        assert asked == requests


async def test_so_many_at_once_and_no_more() -> None:
    """All slots are used, and the findings keep the order of the rows."""
    active, high_water = 0, 0
    full = asyncio.Event()

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal active, high_water
        active += 1
        high_water = max(high_water, active)
        if active == 4:
            full.set()
        await full.wait()
        active -= 1
        return web.Response(status=200 if request.path == "/5" else 404)

    async with server(count) as origin, checker(concurrency=4) as check:
        inputs = [
            MediaInput(url=f"{origin}/{n}", where=f"m.csv:{n}", parameter="x") for n in range(12)
        ]
        found = await check.problems(inputs)

    assert high_water == 4
    assert [one.where for one in found] == [f"m.csv:{n}" for n in range(12) if n != 5]


# The command.


def test_check_online_reports_rows(tmp_path: Path) -> None:
    """With the place of the first row, exit 65; nothing is asked without the flag."""
    write_csv(
        tmp_path / "rows.csv",
        ["one,https://localhost:1/a.png", "two,https://localhost:1/a.png"],
        header="prompt,image_url",
    )
    (tmp_path / "schema.json").write_text(
        '{"properties": {"prompt": {"type": "string"}, "image_url": {"type": "string"}}}'
    )
    manifest = tmp_path / "m.yaml"
    manifest.write_text("model: a/b\nschema: schema.json\nprompts:\n  - file: rows.csv\n")

    offline = batchgen("check", manifest)
    online = batchgen("check", manifest, "--online")

    assert offline.code == 0, offline.err
    assert online.code == 65
    assert "rows.csv:2: image_url: 'https://localhost:1/a.png'" in online.err
    assert "private network" in online.err
    assert "1 problem;" in online.err


def test_check_online_goes_by_the_schema_that_decides(tmp_path: Path) -> None:
    """The manifest's own `schema:` says which parameters are addresses, as it does for all else."""
    (tmp_path / "schema.json").write_text(
        '{"properties": {"prompt": {"type": "string"},'
        ' "prompt_extra": {"type": "string", "format": "image_uri"}}}'
    )
    manifest = tmp_path / "m.yaml"
    row = "{prompt: a fox, prompt_extra: 'https://localhost:1/a.png'}"
    manifest.write_text(f"model: a/b\nschema: schema.json\nprompts:\n  - {row}\n")

    online = batchgen("check", manifest, "--online")

    assert online.code == 65
    assert "m.yaml:4: prompt_extra: 'https://localhost:1/a.png'" in online.err


def test_check_without_the_flag_does_not_load_the_network(tmp_path: Path) -> None:
    """A quarter of a second that nobody should wait for."""
    manifest = write_csv(tmp_path / "m.csv", ["a boat"], header="prompt")
    program = (
        "import sys; from batchgen.cli import main;"
        f"code = main(['check', {str(manifest)!r}, '--model',"
        " 'bytedance/dreamina-4-0/text-to-image']);"
        "sys.exit(code or ('aiohttp' in sys.modules and 9))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()
