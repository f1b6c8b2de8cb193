"""Waiting in real time: for a condition, or for time itself.

The only place in the tests that sleeps. A test that waits for something waits until it is so, and
fails with what it waited for; a test that needs time to pass says why.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable

import pytest

INTERVAL_S = 0.01
TIMEOUT_S = 30.0


def wait_until(
    condition: Callable[[], object],
    what: str,
    *,
    timeout_s: float = TIMEOUT_S,
    alive: subprocess.Popen[str] | subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until the condition holds; fail after the timeout, or when the process has ended."""
    ends_at_s = time.monotonic() + timeout_s
    while not condition():
        if alive is not None and alive.poll() is not None:
            _, err = alive.communicate()
            pytest.fail(f"waited for {what}; the process ended with {alive.returncode}: {err!s}")
        if time.monotonic() >= ends_at_s:
            if alive is not None:
                alive.kill()
                alive.communicate()
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(INTERVAL_S)


async def wait_until_async(
    condition: Callable[[], object], what: str, *, timeout_s: float = TIMEOUT_S
) -> None:
    """Wait until the condition holds while the loop goes on; fail after the timeout."""
    ends_at_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= ends_at_s:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}")
        await asyncio.sleep(INTERVAL_S)


def let_pass(seconds: float, why: str) -> None:
    """Let real time pass, for a reason that cannot be asked for; `why` is for the reader."""
    assert why
    time.sleep(seconds)


async def let_pass_async(seconds: float, why: str) -> None:
    """Let real time pass while the loop goes on."""
    assert why
    await asyncio.sleep(seconds)
