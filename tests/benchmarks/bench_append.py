"""Durable appends: the ledger's group commit against the fastest loop that is durable.

    python -m tests.benchmarks.bench_append [--rounds 5] [--flush-ms 0,2,10]

In one run, in turns: a bare loop that writes 1,000 ready lines and syncs (throughput) or one line
and syncs (latency); the same without a disk but with an asyncio future for each line, which is
what any writer with many waiting tasks has to pay; and the group commit under 1, 64 and 1,000
tasks, each of which waits for its line before it appends the next. `--flush-ms` adds so much to
each sync on both sides, as a disk that really flushes its cache would.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from batchgen.ledger.group_commit import GroupCommit
from batchgen.system.files import sync_file
from tests.benchmarks.bench_replay import history
from tests.benchmarks.figures import Figure, interleaved, ratios

LINE = history(7)[1]
BATCH = 1_000
Sync = Callable[[int], None]


def bare(path: Path, lines: int, batch: int, sync: Sync) -> tuple[float, float]:
    """Return the appends per second and the median seconds of one write with its sync."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    took_s = []
    for _ in range(lines // batch):
        begun_s = time.perf_counter()
        os.write(fd, b"".join([LINE] * batch))
        sync(fd)
        took_s.append(time.perf_counter() - begun_s)
    os.close(fd)
    return lines / sum(took_s), median(took_s)


async def ours(path: Path, lines: int, tasks: int, sync: Sync) -> tuple[float, float, float]:
    """Return the appends per second, and the median and 99th percentile of a task's waits."""
    path.write_bytes(b"")
    commit = GroupCommit(path, size_bytes=0, sync=sync)
    waited_s: list[float] = []

    async def writer() -> None:
        for _ in range(lines // tasks):
            begun_s = time.perf_counter()
            await commit.append(LINE)
            waited_s.append(time.perf_counter() - begun_s)

    begun_s = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(tasks)))
    took_s = time.perf_counter() - begun_s
    await commit.close()
    waited_s.sort()
    return lines / took_s, median(waited_s), waited_s[len(waited_s) * 99 // 100]


async def ceiling(lines: int, tasks: int) -> float:
    """Return the waits per second of tasks that are woken through a future, without a disk."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[int]] = []

    def wake() -> None:
        nonlocal waiting
        woken, waiting = waiting, []
        for future in woken:
            future.set_result(0)

    async def waiter() -> None:
        for _ in range(lines // tasks):
            future: asyncio.Future[int] = loop.create_future()
            if not waiting:
                loop.call_soon(wake)
            waiting.append(future)
            await future

    begun_s = time.perf_counter()
    await asyncio.gather(*(waiter() for _ in range(tasks)))
    return lines / (time.perf_counter() - begun_s)


def flushing(flush_s: float) -> Sync:
    """Return a sync that takes so much longer."""

    def sync(fd: int) -> None:
        sync_file(fd)
        if flush_s:
            time.sleep(flush_s)

    return sync


def measure(path: Path, rounds: int, flush_s: float) -> None:
    """Measure and print the table of one disk."""
    sync = flushing(flush_s)
    few = 400 if flush_s else 2_000
    many = 60_000 if flush_s else 200_000
    batches = [bare(path, many, BATCH, sync) for _ in range(rounds)]
    lone = [bare(path, few, 1, sync)[1] for _ in range(rounds)]
    waits = [asyncio.run(ceiling(many, BATCH)) for _ in range(rounds)]
    print(f"flush +{flush_s * 1e3:.0f} ms")
    print(f"  bare, 1,000 lines a sync  {median(one[0] for one in batches):>11,.0f} lines/s")
    print(f"  bare, one line a sync     {median(lone) * 1e3:>11.3f} ms")
    print(f"  1,000 tasks and no disk   {median(waits):>11,.0f} waits/s")
    for tasks, lines in ((1, few), (64, many // 4), (BATCH, many)):
        got = [asyncio.run(ours(path, lines, tasks, sync)) for _ in range(rounds)]
        rate, wait_s, worst_s = (median(one[n] for one in got) for n in range(3))
        line = f"  {tasks:>5} tasks: {rate:>11,.0f} lines/s, waits {wait_s * 1e3:.3f} ms"
        line += f" (99 %: {worst_s * 1e3:.3f})"
        if tasks == 1:
            line += f", {wait_s / median(lone):.2f} of one sync"
        if tasks == BATCH:
            line += f", {rate / median(one[0] for one in batches):.2f} of the bare batches"
            line += f", {rate / median(waits):.2f} of the tasks without a disk"
        print(line)


def _bare_rate(path: Path, lines: int, sync: Sync) -> float:
    return bare(path, lines, BATCH, sync)[0]


def _rate(path: Path, lines: int, sync: Sync) -> float:
    return asyncio.run(ours(path, lines, BATCH, sync))[0]


def figures(quick: bool) -> Iterator[Figure]:
    """Yield what many writers reach of bare batches, on this disk and on one that flushes."""
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        path = Path(directory) / "ledger.jsonl"
        for flush_ms in (0, 2, 10):
            sync, lines = flushing(flush_ms / 1e3), 20_000 if quick or flush_ms else 200_000
            batches, writers = interleaved(
                rounds,
                partial(_bare_rate, path, lines, sync),
                partial(_rate, path, lines, sync),
            )
            name = f"durable appends, 1,000 writers, a sync of +{flush_ms} ms"
            yield Figure(name, "batches of 1,000 lines", ratios(writers, batches), 0.5)


def main() -> None:
    """Measure each flush time in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flush-ms", default="0,2,10")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        for flush_ms in args.flush_ms.split(","):
            measure(Path(directory) / "ledger.jsonl", args.rounds, float(flush_ms) / 1e3)


if __name__ == "__main__":
    main()
