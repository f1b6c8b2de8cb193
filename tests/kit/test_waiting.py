"""Waiting in tests: for a condition, in one place, and never for longer than it is worth."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.conftest import REPO
from tests.kit.waiting import wait_until, wait_until_async

REAL_TIME = {"kit", "benchmarks"}
"""Folders that may sleep: the kit, whose waiting all tests use, and what measures real time."""


def sleeps(source: str) -> list[int]:
    """Return the lines that sleep on the real clock; `sleep(0)` only lets others run."""
    found: list[int] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=0)]):
                continue
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep")):
                found.append(node.lineno)
            case ast.ImportFrom(module="time" | "asyncio", names=names):
                found += [node.lineno for name in names if name.name == "sleep"]
    return sorted(found)


def test_no_test_sleeps() -> None:
    """A test waits for what it needs with `wait_until`, or leaps in virtual time."""
    tests = REPO / "tests"
    found = {
        str(path.relative_to(tests)): lines
        for path in tests.rglob("*.py")
        if path.relative_to(tests).parts[0] not in REAL_TIME
        and (lines := sleeps(path.read_text(encoding="utf-8")))
    }

    assert found == {}


def test_a_sleep_would_be_found() -> None:
    """Called on the module or imported by name; other clocks may sleep."""
    assert sleeps("time.sleep(1)\nasyncio.sleep(x)\nfrom time import sleep") == [1, 2, 3]
    assert sleeps("asyncio.sleep(0)\nclock.sleep(1)\nfrom time import time") == []


async def test_waiting_in_vain_fails_with_what_was_waited_for() -> None:
    """Not with a bare time-out of the whole test."""
    with pytest.raises(pytest.fail.Exception, match="in vain for a miracle"):
        wait_until(lambda: False, "a miracle", timeout_s=0.02)
    with pytest.raises(pytest.fail.Exception, match="in vain for a miracle"):
        await wait_until_async(lambda: False, "a miracle", timeout_s=0.02)


def test_waiting_for_a_process_ends_when_it_has_ended() -> None:
    """At once, with its exit code."""
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(pytest.fail.Exception, match="the process ended with 3"):
        wait_until(lambda: False, "a miracle", alive=process)
