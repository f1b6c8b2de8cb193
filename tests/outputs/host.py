"""A file host on loopback that speaks Range and If-Range and breaks off when told to."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from batchgen.core.api_base import ApiBase, parse_base_url
from batchgen.net.url_policy import UrlPolicy
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.outputs.store import Store
from batchgen.system.clock import SystemClock
from tests.kit.waiting import let_pass_async

LOOPBACK = parse_base_url("http://127.0.0.1:1/v1")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def png(filler: int = 100_000, seed: int = 0) -> bytes:
    """A file that is a PNG by its structure: header, one chunk of bytes, end."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    body = bytes((i * 31 + seed) % 251 for i in range(1000)) * (filler // 1000)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PNG = png()


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """Run a server that answers everything with one handler."""
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Host:
    """One file; a handler."""

    body: bytes = PNG
    validators: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    breaks: list[int] = field(default_factory=list)
    """For each of the first requests: after how many bytes it breaks off; -1: not at all."""
    ranges: bool = True
    chunked: bool = False
    content_type: str = "image/png"
    pause_s: float = 0.0
    """After the first half of what is sent, so that it is written before the break."""
    shifted: int = 0
    """How far before the asked byte a part begins, which it says itself."""
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Range and If-Range of each request."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append(asked)
        start = self._start(*asked)
        response = web.StreamResponse(
            status=206 if start else 200,
            headers={**self.validators, "Content-Type": self.content_type},
        )
        body = self.body[start - self.shifted : len(self.body) - self.shifted]
        if start:
            span = f"{start - self.shifted}-{len(self.body) - self.shifted - 1}"
            response.headers["Content-Range"] = f"bytes {span}/{len(self.body)}"
        if self.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(self.body) - start
        await response.prepare(request)
        return await self._send(request, response, body if start else self.body)

    def _start(self, wanted: str | None, if_range: str | None) -> int:
        known = set(self.validators.values())
        if wanted is None or not self.ranges or (if_range is not None and if_range not in known):
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    async def _send(
        self, request: web.Request, response: web.StreamResponse, body: bytes
    ) -> web.StreamResponse:
        at = self.breaks[len(self.asked) - 1] if len(self.asked) <= len(self.breaks) else -1
        if at < 0:
            await response.write(body)
            return response
        await response.write(body[: at // 2])
        await let_pass_async(self.pause_s, "the client writes down what it got")
        await response.write(body[at // 2 : at])
        await let_pass_async(self.pause_s, "the client writes down what it got")
        assert request.transport is not None
        request.transport.abort()
        return response


def store(
    run_dir: Path, *, api: ApiBase = LOOPBACK, taken: tuple[str, ...] = (), **more: Any
) -> Store:
    """Return a store that keeps files in `outputs` of a run directory."""
    usual = {
        "destination": LocalDirectory(run_dir=run_dir, path=run_dir / "outputs"),
        "url_policy": UrlPolicy.for_outputs(api),
        "names": FileNameClaims(taken),
        "clock": SystemClock(),
    }
    return Store(run_dir=run_dir, **usual | more)


def files(run_dir: Path) -> list[str]:
    """Return the names in the output directory."""
    directory = run_dir / "outputs"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def whole(run_dir: Path) -> list[str]:
    """Return those among them that are final names."""
    return [name for name in files(run_dir) if not name.endswith(".part")]
