"""Downloads from real servers: whole and checked, or not under a final name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.core.api_base import parse_base_url
from batchgen.core.events import OutputFile
from batchgen.outputs.answers import Unreachable
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.ports import FilesSaved, LinkExpired, SaveLater
from tests.outputs.host import Handler, files, server, store

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400


async def serve_png(request: web.Request) -> web.StreamResponse:
    """A good file."""
    return web.Response(body=PNG, content_type="application/octet-stream")


async def test_a_file_is_saved_with_its_size_digest_and_kind(tmp_path: Path) -> None:
    """The extension comes from the bytes, the path is relative to the run directory."""
    async with server(serve_png) as host, store(tmp_path) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.exe", f"{host}/b.mp4"))

    assert isinstance(answer, FilesSaved)
    assert [file.path for file in answer.files] == ["outputs/fox-1.png", "outputs/fox-2.png"]
    assert answer.files[0].bytes == len(PNG)
    assert answer.files[0].sha256 == hashlib.sha256(PNG).hexdigest()
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG
    assert files(tmp_path) == ["fox-1.png", "fox-2.png"]


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(PNG)), "ETag": '"1"'})
    await response.prepare(request)
    await response.write(PNG[:5000])
    assert request.transport is not None
    request.transport.abort()
    return response


async def page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<!DOCTYPE html><p>sorry</p>", content_type="image/png")


async def empty(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"", content_type="image/png")


async def unavailable(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


@pytest.mark.parametrize("handler", [truncated, page, empty, unavailable])
async def test_what_is_not_whole_gets_no_final_name(tmp_path: Path, handler: Handler) -> None:
    """Truncated, empty, an error page, an error: none of it is under the name of an output."""
    async with server(handler) as host, store(tmp_path) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.png",))

    assert isinstance(answer, SaveLater)
    assert not [name for name in files(tmp_path) if not name.endswith(".part")]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_expired_link_is_told_apart(tmp_path: Path, status: int) -> None:
    """So that the runner can ask the result for a fresh one."""

    async def gone(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with server(gone) as host, store(tmp_path) as outputs:
        assert isinstance(await outputs.save("fox", (f"{host}/a.png",)), LinkExpired)


async def test_a_server_without_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    """A 200 to a Range request replaces the part instead of being appended to it."""
    calls = 0

    async def no_ranges(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await (truncated if calls == 1 else serve_png)(request)

    async with server(no_ranges) as host, store(tmp_path) as outputs:
        await outputs.save("fox", (f"{host}/a.png",))
        answer = await outputs.save("fox", (f"{host}/a.png",))

    assert isinstance(answer, FilesSaved)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_of_several_files_only_the_lost_one_is_fetched_again(tmp_path: Path) -> None:
    """Under the name that it had; what is whole is not even asked for."""
    asked: list[str] = []

    async def noted(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await serve_png(request)

    async with server(noted) as host, store(tmp_path) as outputs:
        urls = tuple(f"{host}/{name}.png" for name in "abc")
        first = await outputs.save("fox", urls)
        assert isinstance(first, FilesSaved)
        outputs.settled("fox")
        (tmp_path / first.files[1].path).unlink()
        asked.clear()
        again = await outputs.save("fox", urls, first.files)

    assert asked == ["/b.png"]
    assert isinstance(again, FilesSaved)
    assert again.files == first.files
    assert (tmp_path / first.files[1].path).read_bytes() == PNG


class Away(LocalDirectory):
    """A destination that does not answer now."""

    def difference(self, file: OutputFile) -> str:
        raise Unreachable("nobody there")


async def test_a_destination_that_cannot_be_asked_is_tried_again(
    tmp_path: Path,
) -> None:
    """As when a file is to be put there: the job stays as it is."""
    had = OutputFile(path="outputs/fox-1.png", bytes=1, sha256="0")
    away = Away(run_dir=tmp_path, path=tmp_path / "outputs")

    async with server(serve_png) as host, store(tmp_path, destination=away) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.png",), (had,))

    assert isinstance(answer, SaveLater)
    assert "nobody there" in answer.error.message


async def test_no_existing_file_is_overwritten(tmp_path: Path) -> None:
    """A file of another content keeps its name; the new one gets the next."""
    directory = tmp_path / "outputs"
    directory.mkdir()
    (directory / "fox-1.png").write_bytes(b"precious")

    async with server(serve_png) as host, store(tmp_path) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.png",))

    assert isinstance(answer, FilesSaved)
    assert answer.files[0].path == "outputs/fox-1~2.png"
    assert (directory / "fox-1.png").read_bytes() == b"precious"


async def test_a_file_over_the_limit_is_given_up(tmp_path: Path) -> None:
    """The answer names the limit."""
    async with server(serve_png) as host, store(tmp_path, max_file_bytes=1000) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.png",))

    assert isinstance(answer, SaveLater)
    assert answer.hopeless
    assert "1,000 bytes" in answer.error.message


async def test_each_hop_of_a_redirect_is_checked(tmp_path: Path) -> None:
    """A trusted host that redirects to another does not make that one trusted."""

    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://evil.example/a.png")

    async with server(away) as host, store(tmp_path) as outputs:
        answer = await outputs.save("fox", (f"{host}/a.png",))

    assert isinstance(answer, SaveLater)
    assert answer.hopeless
    assert "evil.example" in answer.error.message


async def test_no_token_goes_to_a_download_host(tmp_path: Path) -> None:
    """The store does not know it; this holds the wiring."""
    headers: list[dict[str, str]] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        headers.append(dict(request.headers))
        return await serve_png(request)

    async with server(remember) as host, store(tmp_path) as outputs:
        await outputs.save("fox", (f"{host}/a.png",))

    assert "Authorization" not in headers[0]
    assert "Cookie" not in headers[0]


async def test_a_name_that_resolves_to_a_private_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted name is not enough: the address is checked when it is resolved."""
    public = parse_base_url("https://model-api.runcomfy.net/v1")

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[object]:
        return [{"hostname": host, "host": "10.0.0.7", "port": port, "family": 2, "proto": 0,
                 "flags": 0}]  # fmt: skip

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    async with store(tmp_path, api=public) as outputs:
        answer = await outputs.save("fox", ("https://files.runcomfy.net/a.png",))

    assert isinstance(answer, SaveLater)
    assert "private network" in answer.error.message
