"""The page over HTTP on loopback: the page itself, its files, its news, and verdicts.

Other programs and web pages on this machine can reach a loopback port too. So the path is secret,
and a request with another Host (a name that somebody points at 127.0.0.1) or another Origin (a
page of somebody else) is refused before its path is looked at.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web

from batchgen.core.media_types import DRAWING, kind_of_file, media_type

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 << 10
"""A verdict with a long note is far smaller."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_FILE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"
}
_END_S = 1.0
"""The time that open connections have after a signal."""


class VerdictRefused(Exception):
    """A verdict that cannot be stored; the text says why."""


class LivePage(Protocol):
    """What the server shows."""

    def page(self) -> bytes:
        """Return the page as it is now."""

    async def news(self, since: int) -> tuple[int, bytes]:
        """Wait for news after that version; return the new version and a JSON object."""

    def file(self, name: str) -> Path | None:
        """Return the file that the page shows under this address; None if it shows none."""

    async def store(self, verdict: dict[str, Any]) -> None:
        """Store a verdict durably. Raises `VerdictRefused`."""


class PageServer:
    """One page on one port; start it, and stop it."""

    def __init__(self, live: LivePage) -> None:
        """Serve under a random path of 22 characters."""
        self._live = live
        self._path = secrets.token_urlsafe(16)
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        base = f"/{self._path}/"
        app.router.add_get(base, self._page)
        app.router.add_get(f"{base}events", self._events)
        app.router.add_post(f"{base}verdicts", self._verdict)
        app.router.add_get(base + "{name:.+}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_END_S)
        self._ending = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The address to open."""
        return f"{self._origin}/{self._path}/"

    @property
    def _origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on that port, or on a free one. Raises `OSError`."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End, also if pages are open."""
        self._ending.set()
        await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            self._refuse_strangers(request)
            answer = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    def _refuse_strangers(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        origins = request.headers.getall("Origin", [])
        is_foreign_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
        if hosts != [f"{HOST}:{self.port}"] or any(one != self._origin for one in origins):
            raise web.HTTPForbidden(text="not for this host or origin")
        if is_foreign_site and request.headers.get("Sec-Fetch-Mode") != "navigate":
            raise web.HTTPForbidden(text="not for another site")

    async def _page(self, _: web.Request) -> web.Response:
        page = await asyncio.to_thread(self._live.page)
        no_store = {"Cache-Control": "no-store"}
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=no_store)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        since = _number(request.headers.get("Last-Event-ID") or request.query.get("since", ""))
        stream = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", **_HEADERS}
        )
        await stream.prepare(request)
        ending = asyncio.create_task(self._ending.wait())
        try:
            while not ending.done():
                news = asyncio.create_task(self._live.news(since))
                await asyncio.wait((news, ending), return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    break
                since, data = news.result()
                await stream.write(b"id: %d\ndata: %s\n\n" % (since, data))
        except ConnectionError:
            pass  # the page was closed
        finally:
            ending.cancel()
        return stream

    async def _verdict(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="a verdict is a JSON object")
        try:
            verdict = msgspec.json.decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise web.HTTPBadRequest(text="a verdict is a JSON object") from None
        if not isinstance(verdict, dict):
            raise web.HTTPBadRequest(text="a verdict is a JSON object")
        try:
            await self._live.store(verdict)
        except VerdictRefused as refused:
            raise web.HTTPBadRequest(text=str(refused)) from None
        return web.Response(status=204)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = await asyncio.to_thread(self._live.file, request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="not found")
        shown = media_type(path.name)
        headers = {**_FILE_HEADERS, "Content-Type": shown or "application/octet-stream"}
        # A drawing that is opened by itself is saved too, because it may hold a script.
        if shown is None or kind_of_file(path.name) == DRAWING:
            headers["Content-Disposition"] = "attachment"
        return web.FileResponse(path, headers=headers)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
