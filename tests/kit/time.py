"""Virtual time: when every task waits, the clock leaps to the next deadline."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_S = 1_800_000_000.0


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers cost nothing. For tests without sockets.

    The clock stands still while a thread works for the loop: those of the loop's own executor, and
    those whose futures are given to `wait_for_thread`.
    """

    def __init__(self, begun_s: float = 0.0) -> None:
        super().__init__(_Leap(self))
        # After months a float cannot tell nanoseconds apart, and a timer would never be due.
        self._clock_resolution = 1e-6
        self.leapt_s = begun_s
        self.busy_threads = 0

    def wait_for_thread(self, future: asyncio.Future[T]) -> asyncio.Future[T]:
        """Let no time pass until this future is done."""
        self.busy_threads += 1
        future.add_done_callback(self._on_thread_done)
        return future

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        return self.wait_for_thread(super().run_in_executor(executor, func, *args))

    async def shutdown_default_executor(self, *args: Any) -> None:
        self.busy_threads += 1  # it joins the executor's threads on one more thread
        await super().shutdown_default_executor(*args)
        self.busy_threads -= 1

    def _on_thread_done(self, _future: asyncio.Future[Any]) -> None:
        self.busy_threads -= 1

    def time(self) -> float:
        return self.leapt_s


class _Leap(selectors.SelectSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if self._loop.busy_threads and timeout != 0:
            return super().select(10.0)
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("every task waits for something that never comes")
        if not ready and timeout:
            self._loop.leapt_s += timeout
        return ready


class LoopClock:
    """A `Clock` that reads the loop's time; the clock on the wall may be set wrong."""

    skew_s = 0.0

    def now_s(self) -> float:
        return EPOCH_S + self.monotonic_s() + self.skew_s

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            pass


def leap(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(main)
