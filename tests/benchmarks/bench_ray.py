"""Fetching by Ray workers: what a file costs above the pool of the run itself, and how it scales.

    python -m tests.benchmarks.bench_ray [--rounds 3] [--quick] [--share 0.25]

1. 2,000 files of 1 kB, so that only the way of a file through the engine counts: this process
   against one Ray worker, in turn. Starting is measured by a run of one file and taken off.
2. 2,000 files of 1 MB and 40 of 100 MB by 1, 2 and 4 workers. This machine has few cores, so each
   worker is stopped and continued in turn and has only a share of one: then neither the server nor
   the run is the limit, and what is seen is how work spreads.

Every figure is that of a whole `batchgen run` on a ledger of completed jobs, less a run of one
file: to start Ray takes some seconds, once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.bench_downloads import MB, Load, make_files, serving, with_batchgen
from tests.benchmarks.figures import HEAD, Figure, interleaved, line_of
from tests.engines.cluster import workers

PERIOD_S = 0.05


@contextmanager
def limited(share: float) -> Iterator[None]:
    """Let each worker run for a share of the time only."""
    ended = threading.Event()

    def signal_all(which: signal.Signals) -> None:
        for pid in workers():
            with suppress(ProcessLookupError):
                os.kill(pid, which)

    def work() -> None:
        while not ended.is_set():
            signal_all(signal.SIGCONT)
            time.sleep(PERIOD_S * share)
            signal_all(signal.SIGSTOP)
            time.sleep(PERIOD_S * (1 - share))
        signal_all(signal.SIGCONT)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def engine(count: int) -> tuple[str, ...]:
    """Return the flags of a run with so many workers; 0: this process."""
    return ("--engine", "ray", "--download-workers", str(count)) if count else ()


def wall_s(base: Path, origin: str, names: list[str], count: int) -> float:
    """Measure one run."""
    directory = base / f"run-{count}"
    took = with_batchgen(origin, names, directory, *engine(count))
    shutil.rmtree(directory)
    return took.wall_s


def cost_per_file(base: Path, rounds: int, count: int) -> Figure:
    """Measure what a file costs by one Ray worker, above the pool of the run."""
    root = base / "small"
    root.mkdir()
    names = make_files(root, Load(count, 1000))
    with serving(root) as origin:
        measure = partial(wall_s, base, origin)
        sides = interleaved(
            rounds,
            lambda: measure(names, 0) - measure(names[:1], 0),
            lambda: measure(names, 1) - measure(names[:1], 1),
        )
    extra = tuple((ray - local) / count * 1000 for local, ray in zip(*sides, strict=True))
    return Figure("a file by one Ray worker, above the local pool", "local pool", extra, 10.0,
        at_least=False, unit="ms")  # fmt: skip


def scaling(base: Path, load: Load, rounds: int, share: float) -> Iterator[Figure]:
    """Measure the throughput of 2 and 4 limited workers against that of one."""
    root = base / "files"
    root.mkdir()
    names = make_files(root, load)
    with serving(root) as origin, limited(share):
        measure = partial(wall_s, base, origin)
        took = {
            count: [measure(names, count) - measure(names[:1], count) for _ in range(rounds)]
            for count in (1, 2, 4)
        }
    shutil.rmtree(root)
    for count, goal in ((2, 1.6), (4, 2.8)):
        ratios = tuple(one / more for one, more in zip(took[1], took[count], strict=True))
        yield Figure(f"{load}, {count} workers", "1 worker", ratios, goal)
    speeds = ", ".join(
        f"{count}: {load.total_bytes / MB / median(found):,.0f} MB/s"
        for count, found in took.items()
    )
    print(f"  {load}, workers of {share:g} of a core each: {speeds}", flush=True)


def figures(quick: bool, share: float = 0.25, rounds: int = 3) -> Iterator[Figure]:
    """Yield every figure."""
    loads = (Load(2_000, MB), Load(40, 100 * MB))
    small = 2_000
    if quick:
        rounds, small, loads = 1, 200, (Load(200, MB), Load(8, 20 * MB))
    with tempfile.TemporaryDirectory() as directory:
        yield cost_per_file(Path(directory), rounds, small)
        for load in loads:
            yield from scaling(Path(directory), load, rounds, share)


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--share", type=float, default=0.25)
    args = parser.parse_args()
    print(HEAD, flush=True)
    for figure in figures(args.quick, args.share, args.rounds):
        print(line_of(figure), flush=True)


if __name__ == "__main__":
    main()
