"""The cost of 10,000 requests in flight for a sandbox in its own process; a benchmark, not a test.

    python -m tests.sandbox.bench_in_flight [N] [CONNECTIONS]

Submits N jobs that do not end, asks for each state, cancels every second one, asks again, and
checks every queue position on the way. Memory is read from /proc, so it runs on Linux.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.kit import MODEL

CAPACITY = 16
Call = Callable[[Any], Awaitable[Any]]


async def timed(name: str, items: Iterable[Any], call: Call, connections: int) -> list[Any]:
    """Call for each, so many at once; print rate and times; the answers in order."""
    queue = list(enumerate(items))
    answers: list[Any] = [None] * len(queue)
    times: list[float] = []
    waiting = iter(queue)

    async def work() -> None:
        for index, item in waiting:
            begin = time.perf_counter()
            answers[index] = await call(item)
            times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    took = time.perf_counter() - begin
    times.sort()
    middle, late = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    print(f"{name:12} {len(queue) / took:7,.0f}/s   p50 {middle:5.1f} ms   p99 {late:5.1f} ms")
    return answers


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def measure(session: aiohttp.ClientSession, base: str, jobs: int, at_once: int) -> None:
    """All calls against a sandbox that listens."""

    async def get(method: str, path: str, **options: Any) -> Any:
        async with session.request(method, f"{base}{path}", **options) as answer:
            return msgspec.json.decode(await answer.read())

    async def submit(number: int) -> Any:
        return (await get("POST", f"/models/{MODEL}", json={"prompt": f"{number}"}))["request_id"]

    async def status(request_id: str) -> Any:
        return (await get("GET", f"/requests/{request_id}/status")).get("queue_position")

    async def cancel(request_id: str) -> Any:
        return (await get("POST", f"/requests/{request_id}/cancel"))["outcome"]

    async def result(request_id: str) -> Any:
        return (await get("GET", f"/requests/{request_id}/result?include_cost=true"))["status"]

    ids = await timed("submit", range(jobs), submit, at_once)
    found = await timed("status", ids, status, at_once)
    assert sorted(p for p in found if p) == list(range(1, jobs - CAPACITY + 1))
    await timed("result", ids, result, at_once)
    waiting = [request_id for request_id, place in zip(ids, found, strict=True) if place]
    outcomes = await timed("cancel", waiting[::2], cancel, at_once)
    assert set(outcomes) == {"cancelled"}
    found = await timed("status again", waiting[1::2], status, at_once)
    assert sorted(found) == list(range(1, len(waiting) // 2 + 1))


async def main(jobs: int, at_once: int) -> None:
    """Start a sandbox, measure, stop it."""
    sandbox = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "batchgen", "sandbox", "--duration", "86400", "--balance", "1000000",
        "--capacity", str(CAPACITY), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert sandbox.stdout is not None
    base = (await sandbox.stdout.readline()).decode().strip().partition("=")[2]
    before = memory_mb(sandbox.pid)
    headers = {"Authorization": "Bearer sandbox-token"}
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await measure(session, base, jobs, at_once)
    after = memory_mb(sandbox.pid)
    print(f"memory       {before:.0f} MB idle, {after:.0f} MB with {jobs:,} requests")
    sandbox.terminate()
    await sandbox.wait()


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*(numbers + [10_000, 64][len(numbers) :])))
