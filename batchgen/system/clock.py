"""The real clock. The only module that reads the time."""

from __future__ import annotations

import asyncio
import contextlib
import time


class SystemClock:
    """The clock of the machine (port `Clock`)."""

    def now_s(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        await asyncio.sleep(delay_s)

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the event, at most for `timeout_s` (None: without end)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()
