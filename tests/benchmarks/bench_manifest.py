"""Speed and memory of rows becoming jobs, against a bare `csv.DictReader` loop.

    python tests/benchmarks/bench_manifest.py [ROWS ...]

Every measurement runs in a process of its own; peak RSS is that of the whole process.
"""

from __future__ import annotations

import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kit import MODEL

SIZES = ("1024x1024", "2048x2048", "2560x1440(16:9)", "")
WORDS = ["fox", "lighthouse", "snow", "dusk", "oil", "painting", "harbour", "glass", "neon", "fog"]


def write_csv(path: Path, rows: int, *, ids: bool = True) -> None:
    """Write a plausible campaign: ids, prompts, sizes, scales and a column of notes."""
    dice = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "size", "scale", "campaign"])
        for number in range(rows):
            prompt = " ".join(dice.choices(WORDS, k=12)) + f", take {number}"
            scale = dice.choice(["0.5", "0.65", "", "1"])
            id_ = f"p{number:07}" if ids else ""
            writer.writerow([id_, prompt, dice.choice(SIZES), scale, "spring"])


def read_bare(path: Path) -> int:
    """Read as fast as the standard library makes a dict of each row."""
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def read_jobs(path: Path) -> int:
    """Read completely: columns, types, schema, identity."""
    from batchgen.core.jobs import Job
    from batchgen.manifest.manifest import open_manifest
    from batchgen.manifest.row_options import RowOptions
    from batchgen.models.bundled import packaged_models
    from batchgen.models.registry import ModelRegistry

    manifest = open_manifest(
        path, RowOptions(model=MODEL), ModelRegistry(packaged=packaged_models())
    )
    return sum(isinstance(row, Job) for row in manifest.rows())


READERS = {
    "bare csv.DictReader": read_bare,
    "jobs, own ids": read_jobs,
    "jobs, ids by digest": read_jobs,
}


def measure(name: str, path: Path) -> None:
    """Read once in this process, and print what it took on one line."""
    start = time.perf_counter()
    count = READERS[name](path)
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = f"{seconds:8.2f} s {count / seconds:>11,.0f} rows/s"
    print(f"{name:20} {count:>9,} rows {speed} {peak_mb:7.0f} MB")


def main(arguments: list[str]) -> None:
    """Measure 10k, 100k and 1M rows without arguments, once with `--one NAME FILE`."""
    if arguments[:1] == ["--one"]:
        measure(arguments[1], Path(arguments[2]))
        return
    with tempfile.TemporaryDirectory() as directory:
        for rows in [int(one) for one in arguments] or [10_000, 100_000, 1_000_000]:
            path = Path(directory) / f"{rows}.csv"
            for name in READERS:
                write_csv(path, rows, ids="digest" not in name)
                subprocess.run([sys.executable, __file__, "--one", name, str(path)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
