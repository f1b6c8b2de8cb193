"""Commands on a finished batch, against a bare fold of its ledger and one pass over its manifest.

    python -m tests.benchmarks.bench_noop

`run` with nothing to do, `status` and `check`, each a whole process, in turns with a process that
parses every ledger line with orjson, keeps the last of each job, and reads the spreadsheet with
csv.DictReader. CPU seconds (user and system) are compared, because other processes on the machine
lengthen the wall time of either.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.bench_replay import IN_FLIGHT, history
from tests.benchmarks.fast_server import serving
from tests.benchmarks.figures import Figure, line_of
from tests.benchmarks.processes import PROGRAM, measured
from tests.kit import MODEL

FOLD = """
import csv, orjson, sys
last = {}
with open(sys.argv[2], "rb") as file:
    next(file)
    for line in file:
        record = orjson.loads(line)
        last[record["job"]] = record
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    print(len(last), sum(1 for _ in csv.DictReader(file)))
"""
READ = FOLD[: FOLD.index("last =")] + FOLD[FOLD.index("with open(sys.argv[1]") :].replace(
    "len(last), ", ""
)
"""One pass over the manifest alone."""


def make_batch(path: Path, jobs: int, environment: Mapping[str, str]) -> Path:
    """Write a spreadsheet and the run directory of its finished batch; return the spreadsheet."""
    manifest, run_dir = path / "m.csv", path / "m.run"
    rows = [(f"job-{n:07}", f"A lighthouse at dusk, oil painting, number {n}") for n in range(jobs)]
    _write(manifest, rows[:1])
    command = [sys.executable, "-m", "batchgen", "run", str(manifest), "--model", MODEL, "--quiet"]
    subprocess.run([*command, "--no-download"], env=environment, check=True)
    _write(manifest, rows)
    ledger = run_dir / "ledger.jsonl"
    header = ledger.read_bytes().split(b"\n", 1)[0] + b"\n"
    with ledger.open("wb") as file:
        file.write(header)
        for begin in range(0, jobs, IN_FLIGHT):
            some = range(begin, min(jobs, begin + IN_FLIGHT))
            together = [history(n, *rows[n]) for n in some]
            for lines in zip(*together, strict=True):
                file.writelines(lines)
    return manifest


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("id", "prompt"), *rows])


def figures(quick: bool) -> Iterator[Figure]:
    """Yield the figures of a batch in which nothing is left to do."""
    rounds, jobs = (1, 2_000) if quick else (3, 200_000)
    with serving() as environment, tempfile.TemporaryDirectory() as name:
        manifest = make_batch(Path(name), jobs, environment)
        ledger = str(manifest.with_suffix(".run") / "ledger.jsonl")
        fold = [sys.executable, "-c", FOLD, str(manifest), ledger]
        read = [sys.executable, "-c", READ, str(manifest)]
        run = [*PROGRAM, "run", str(manifest), "--quiet"]
        measured(run, environment)  # it writes the results for the first time
        for words, bare, what, target in (
            (run, fold, "a fold and a pass over the rows", 1.5),
            ([*PROGRAM, "status", str(manifest)], fold, "a fold and a pass over the rows", 1.2),
            ([*PROGRAM, "check", str(manifest), "--model", MODEL], read, "csv.DictReader", 2.5),
        ):
            took = [
                (measured(bare, environment), measured(words, environment)) for _ in range(rounds)
            ]
            cpu = tuple(ours.cpu_s / theirs.cpu_s for theirs, ours in took)
            title = f"{words[len(PROGRAM)]} of {jobs:,} finished jobs, CPU"
            yield Figure(title, what, cpu, target, at_least=False)
            peak_mb = tuple(ours.peak_mb for _, ours in took)
            title = f"{words[len(PROGRAM)]} of {jobs:,} finished jobs, peak memory"
            yield Figure(title, "a bound", peak_mb, 250, at_least=False, unit="MB")


if __name__ == "__main__":
    for one in figures(quick=False):
        print(line_of(one), flush=True)
