"""The port `Clock`: virtual time behaves as the real clock does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from batchgen.ports import Clock
from batchgen.system.clock import SystemClock
from tests.kit.time import LoopClock, leap

Run = Callable[[Callable[[Clock], Coroutine[Any, Any, None]]], None]
"""Runs a test with a clock, in a loop of that clock's kind."""


@pytest.fixture(params=["fake", "real"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "fake":
        return lambda test: leap(test(LoopClock()))
    return lambda test: asyncio.run(test(SystemClock()))


def test_both_times_go_on_by_what_was_slept(run: Run) -> None:
    """The one for intervals and the one for what is written down."""

    async def test(clock: Clock) -> None:
        now_s, monotonic_s = clock.now_s(), clock.monotonic_s()
        await clock.sleep(0.05)
        assert clock.monotonic_s() - monotonic_s >= 0.049
        assert clock.now_s() - now_s >= 0.04

    run(test)


def test_an_event_ends_a_wait(run: Run) -> None:
    """When it is set, and at once if it is set already; a wait may have no time-out."""

    async def test(clock: Clock) -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, event.set)
        began_s = clock.monotonic_s()
        await clock.wait(event, 60.0)
        await clock.wait(event, None)
        assert clock.monotonic_s() - began_s < 30

    run(test)


def test_a_time_out_ends_a_wait_without_an_error(run: Run) -> None:
    """The caller checks for itself whether anything has happened."""

    async def test(clock: Clock) -> None:
        event, began_s = asyncio.Event(), clock.monotonic_s()
        await clock.wait(event, 0.03)
        assert clock.monotonic_s() - began_s >= 0.029
        assert not event.is_set()

    run(test)


def test_a_wait_can_be_cancelled(run: Run) -> None:
    """The cancellation is not taken for a time-out."""

    async def test(clock: Clock) -> None:
        waiting = asyncio.create_task(clock.wait(asyncio.Event(), 60.0))
        await clock.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(test)
