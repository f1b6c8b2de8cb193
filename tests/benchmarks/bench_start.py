"""The time until a command has begun: help, version, and a first run of ten jobs.

python -m tests.benchmarks.bench_start
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bench_run import bare, run_of
from tests.benchmarks.fast_server import serving
from tests.benchmarks.figures import Figure, interleaved, line_of
from tests.benchmarks.processes import PROGRAM, measured

JOBS = 10


def figures(quick: bool) -> Iterator[Figure]:
    """Yield the figures of starting up."""
    rounds = 1 if quick else 10
    for flag in ("--help", "--version"):
        took_s = tuple(measured([*PROGRAM, flag]).wall_s for _ in range(rounds))
        yield Figure(f"batchgen {flag}", "the clock", took_s, 0.15, at_least=False, unit="s")
    with serving() as environment, tempfile.TemporaryDirectory() as directory:
        bare_s, run_s = interleaved(
            rounds,
            lambda: measured(bare(JOBS, JOBS), environment).wall_s,
            lambda: measured(run_of(Path(directory), JOBS, JOBS), environment).wall_s,
        )
        over_s = tuple(run - 1.2 * alone for run, alone in zip(run_s, bare_s, strict=True))
        yield Figure(
            "a first run of ten jobs, above 1.2 times the loop", "bare aiohttp loop", over_s, 0.3,
            at_least=False, unit="s",
        )  # fmt: skip


if __name__ == "__main__":
    for one in figures(quick=False):
        print(line_of(one))
