"""Commands on a finished batch, against a bare fold of its ledger and one pass over its manifest.

    python -m tests.benchmarks.bench_noop [--jobs 200000] [--rounds 3]

`run` with nothing to do, `status` and `check`, each a whole process, in turns with a process that
parses every ledger line with orjson, keeps the last of each job, and reads the spreadsheet with
csv.DictReader. CPU seconds (user and system) are compared, because other processes on the machine
lengthen the wall time of either.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bench_replay import IN_FLIGHT, history
from tests.benchmarks.fast_server import start_server
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


def make_batch(path: Path, jobs: int, environment: dict[str, str]) -> Path:
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


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Return CPU seconds, wall seconds and the peak memory in MB of one process."""
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    scale = 1 if sys.platform == "darwin" else 1024
    cpu_s = usage.ru_utime + usage.ru_stime
    return cpu_s, time.perf_counter() - began_s, usage.ru_maxrss * scale / 1e6


def main() -> None:
    """Print one line for each command and round, and the median ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    server, environment = start_server()
    program = [sys.executable, "-m", "batchgen"]
    try:
        with tempfile.TemporaryDirectory() as directory:
            manifest = make_batch(Path(directory), args.jobs, environment)
            ledger = str(manifest.with_suffix(".run") / "ledger.jsonl")
            fold = [sys.executable, "-c", FOLD, str(manifest), ledger]
            read = [sys.executable, "-c", READ, str(manifest)]
            subprocess.run([*program, "run", str(manifest), "--quiet"], env=environment, check=True)
            ratios: dict[str, list[float]] = {}
            for _ in range(args.rounds):
                for words, bare in (
                    (["run", str(manifest), "--quiet"], fold),
                    (["status", str(manifest)], fold),
                    (["check", str(manifest), "--model", MODEL], read),
                ):
                    bare_s, _, _ = measured(bare, environment)
                    cpu_s, wall_s, peak_mb = measured([*program, *words], environment)
                    ratios.setdefault(words[0], []).append(cpu_s / bare_s)
                    print(
                        f"{words[0]:<7} bare {bare_s:>6.2f} s CPU, batchgen {cpu_s:>6.2f} s CPU,"
                        f" {wall_s:>6.2f} s, {peak_mb:>5.0f} MB, ratio {cpu_s / bare_s:.2f}",
                        flush=True,
                    )
    finally:
        server.terminate()
        server.wait()
    for name, found in ratios.items():
        print(f"{name}: median ratio {statistics.median(found):.2f}")


if __name__ == "__main__":
    main()
