"""The clock of the machine. No other module reads the time."""

from __future__ import annotations

import asyncio
import contextlib
import time


def follow_time_zone() -> None:
    """Take the time zone from the environment again, after that has changed."""
    time.tzset()


class SystemClock:
    """The real clock (port `Clock`)."""

    def now_s(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return the seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait for `delay_s`."""
        await asyncio.sleep(delay_s)

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the event, at most for `timeout_s` (None: without limit)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()
