"""The time of short runs against an API of which some polls and downloads fail at random.

    python -m tests.benchmarks.bench_stall [--runs N] [--jobs N] [--chance P] [--sandbox]

A run of ten jobs that last 0.4 s should take seconds whatever fails now and then: no unlucky series
of failures may make it wait as if the API were down. Each line is one mixture of faults; `ratio` is
the slowest run as a multiple of the median. The runs are in virtual time, the whole runner against
an API in memory; with `--sandbox`, each is a `batchgen run` against a sandbox process.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.benchmarks.bench_run import start_sandbox
from tests.kit import MODEL
from tests.kit.flaky import Chances, FlakyAPI, FlakyStore
from tests.runner.world import RunnerWorld, many

DURATION_S = 0.4


def run_s(chances: Chances, seed: int, jobs: int = 10) -> float:
    """Return the virtual seconds that one run takes until every job is downloaded."""
    dice = random.Random(seed)
    world = RunnerWorld(
        api=FlakyAPI(duration_s=DURATION_S, chances=chances, dice=dice),
        store=FlakyStore(chances=chances, dice=dice),
        seed=seed,
    )
    world.run(many(jobs))
    left = [name for name, state in world.ledger.states().items() if state != "downloaded"]
    if left and not chances.file:
        raise RuntimeError(f"not downloaded: {', '.join(left)}")
    return world.took_s


def mixtures(chance: float) -> Iterator[Chances]:
    """Yield every mixture of the three kinds of calls that fail."""
    for on in itertools.product((0.0, chance), repeat=3):
        yield Chances(*on)


def sandbox_run_s(chances: Chances, seed: int, jobs: int) -> float:
    """Return the seconds of one `batchgen run` against a sandbox process with these faults."""
    rules = [f"{name}:504:rate={chance}" for name, chance in vars(chances).items() if chance]
    faults = itertools.chain.from_iterable(("--fault", rule) for rule in rules)
    server, environment = start_sandbox(
        "--duration", f"{DURATION_S}-{DURATION_S}", "--seed", str(seed), *faults, quiet=True
    )
    try:
        with tempfile.TemporaryDirectory() as directory:
            manifest = Path(directory) / "m.csv"
            manifest.write_text("prompt\n" + "".join(f"prompt {n}\n" for n in range(jobs)))
            began_s = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "batchgen", "run", str(manifest), "--model", MODEL,
                 "--quiet"],
                env=environment, check=False, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            return time.perf_counter() - began_s
    finally:
        server.terminate()
        server.wait()


def show(name: str, took_s: Iterable[float]) -> None:
    """Print one line of the table."""
    all_s = sorted(took_s)
    middle_s = statistics.median(all_s)
    late_s = all_s[len(all_s) * 95 // 100]
    print(
        f"{name:<36} {middle_s:>7.2f} s {late_s:>7.2f} s {all_s[-1]:>7.2f} s"
        f" {all_s[-1] / middle_s:>6.2f}",
        flush=True,
    )


def main() -> None:
    """Print one line for each mixture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--chance", type=float, default=0.3)
    parser.add_argument("--sandbox", action="store_true", help="real time, real processes")
    args = parser.parse_args()
    measure = sandbox_run_s if args.sandbox else run_s
    print(f"{'504 for':<36} {'median':>9} {'95 %':>9} {'slowest':>9} {'ratio':>6}")
    for chances in mixtures(args.chance):
        show(
            str(chances) or "nothing",
            (measure(chances, seed, args.jobs) for seed in range(args.runs)),
        )


if __name__ == "__main__":
    main()
