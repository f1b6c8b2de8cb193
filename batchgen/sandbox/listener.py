"""The port: listens, and in outages does not, so that connections are refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from batchgen.core.errors import LocalIOError

HOST = "127.0.0.1"
SHUTDOWN_S = 0.2
"""How long calls that are being answered get when the sandbox stops."""
RETRY_S = 0.05
"""Between two tries to get the own port back after an outage."""

Window = tuple[float, float]
"""Seconds since the start, from which on and until when nobody listens."""


class Listener:
    """One port on loopback; connections that are open stay open in outages.

    `elapsed` gives seconds since the start. Raises `LocalIOError` where the port is taken.
    """

    def __init__(
        self,
        server: web.Server,
        outages: Sequence[Window],
        elapsed: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.port = 0
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        self._outages = sorted(outages)
        self._elapsed = elapsed
        self._sleep = sleep
        self._site: web.TCPSite | None = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self, port: int) -> None:
        """Listen; port 0 takes a free one."""
        await self._runner.setup()
        try:
            await self._listen(port)
        except OSError as problem:
            await self.close()
            reason = os.strerror(problem.errno or 0)
            message = f"the sandbox cannot listen on {HOST}:{port}: {reason}"
            raise LocalIOError(message) from None
        self.port = self._runner.addresses[0][1]
        if self._outages:
            self._watch = asyncio.create_task(self._keep_outages())

    async def close(self) -> None:
        """End the port and what hangs on it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._runner.cleanup()

    async def _listen(self, port: int) -> None:
        self._site = web.TCPSite(self._runner, HOST, port, backlog=1024)
        await self._site.start()

    async def _keep_outages(self) -> None:
        for begin, end in self._outages:
            await self._until(begin)
            if self._elapsed() >= end:
                continue
            if self._site is not None:
                await self._site.stop()
            await self._until(end)
            await self._listen_again()

    async def _until(self, moment: float) -> None:
        while (left := moment - self._elapsed()) > 0:
            await self._sleep(min(left, 3600.0))

    async def _listen_again(self) -> None:
        while True:
            try:
                await self._listen(self.port)
            except OSError:  # somebody's outgoing connection may sit on the number for a moment
                if self._site is not None:
                    await self._site.stop()
                await asyncio.sleep(RETRY_S)
            else:
                return
