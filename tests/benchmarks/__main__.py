"""The whole table of figures, each a ratio that was measured in one run against a rival.

    python -m tests.benchmarks [--quick] [--only NAME ...] [--json FILE]

A line is printed as soon as it is known; `!` marks a target that is missed. `--quick` takes smaller
loads and one round, to see that everything runs. The exit code does not depend on the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import (
    bench_append,
    bench_downloads,
    bench_makespan,
    bench_noop,
    bench_run,
    bench_start,
)
from tests.benchmarks.figures import HEAD, Figure, json_of, line_of

BENCHES: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "start": bench_start.figures,
    "run": bench_run.figures,
    "noop": bench_noop.figures,
    "append": bench_append.figures,
    "makespan": bench_makespan.figures,
    "downloads": bench_downloads.figures,
}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    found = []
    print(HEAD, flush=True)
    for name in args.only:
        for figure in BENCHES[name](args.quick):
            found.append(figure)
            print(line_of(figure), flush=True)
    if args.json is not None:
        args.json.write_bytes(json_of(found))


if __name__ == "__main__":
    main()
