"""`batchgen check` as a whole process, against a bare csv.DictReader loop, in one run.

    python -m tests.benchmarks.bench_check [ROWS ...]

Prints seconds, rows per second and peak memory of each. What counts is that the time grows with
the rows and the memory stays in its bound.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bench_manifest import write_csv
from tests.kit import MODEL

BARE = """
import csv, sys
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    print(sum(1 for _ in csv.DictReader(file)))
"""


def main() -> None:
    """Print one line for each size."""
    sizes = [int(word) for word in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    print(f"{'rows':>10}  {'bare':>8}  {'check':>8}  {'rows/s':>9}  {'x bare':>6}  peak")
    with tempfile.TemporaryDirectory() as directory:
        for rows in sizes:
            path = Path(directory) / f"{rows}.csv"
            write_csv(path, rows)
            bare_s, _ = measured([sys.executable, "-c", BARE, str(path)])
            check_s, peak_mb = measured(
                [sys.executable, "-m", "batchgen", "check", str(path), "--model", MODEL]
            )
            print(
                f"{rows:>10,}  {bare_s:>6.2f} s  {check_s:>6.2f} s  {rows / check_s:>9,.0f}"
                f"  {check_s / bare_s:>6.1f}  {peak_mb:.0f} MB"
            )
            path.unlink()


def measured(command: list[str]) -> tuple[float, float]:
    """Return wall seconds and peak resident memory in MB of one process."""
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began_s, usage.ru_maxrss * scale / 1e6


if __name__ == "__main__":
    main()
