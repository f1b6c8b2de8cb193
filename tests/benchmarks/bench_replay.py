"""Replay of a ledger against a bare loop that parses with orjson and keeps the last of each job.

    python -m tests.benchmarks.bench_replay [--jobs 10000,100000,1000000]

Four records per job, as a run leaves them: submitting, in_queue, completed, downloaded. Both sides
read the same file, each in a process of its own, in turns; time is that of the replay alone, and
memory is the peak of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import median

from batchgen.core.events import Accepted, Intended, OutputFile, Saved, Succeeded
from batchgen.core.jobs import fingerprint
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.lifecycle import apply
from batchgen.core.units import timestamp
from tests.kit import MODEL

IN_FLIGHT = 64
"""Jobs whose records are mixed, as with this concurrency."""


def history(n: int, name: str = "", prompt: str = "") -> list[bytes]:
    """Return the four lines of one job, that of a row with this id and prompt if they are given."""
    job, begun_s = name or f"{n * 2654435761 % 2**64:016x}", 1_795_000_000 + n * 0.3
    request_id = f"9b2e7f7e-0e3e-4a75-b9f6-{n:012x}"
    url = f"https://playgrounds-storage-public.runcomfy.net/outputs/{n:012x}/image-1.png"
    file = OutputFile(path=f"outputs/{job}-1.png", bytes=1_234_567, sha256=f"{n:064x}")
    values = {"prompt": prompt or f"A lighthouse at dusk, oil painting, number {n}"}
    intent = Intended(
        model=MODEL,
        input=values,
        fingerprint=fingerprint(MODEL, values),
        price_usd=0.03,
    )
    record = apply(None, intent, job=job, ts=timestamp(begun_s))
    lines = [encode(record, model=intent.model, values=intent.input)]
    for after_s, event in (
        (0.4, Accepted(request_id=request_id)),
        (20.0, Succeeded(outputs=(url,), cost_usd=0.03)),
        (21.0, Saved(files=(file,))),
    ):
        record = apply(record, event, job=job, ts=timestamp(begun_s + after_s))
        lines.append(encode(record))
    return lines


def lines_of(jobs: int) -> Iterator[bytes]:
    """Yield a whole ledger, in which the lines of jobs in flight together are mixed."""
    yield encode_header(api="https://model-api.runcomfy.net", created=timestamp(1_795_000_000.0))
    for begin in range(0, jobs, IN_FLIGHT):
        together = [history(n) for n in range(begin, min(jobs, begin + IN_FLIGHT))]
        for lines in zip(*together, strict=True):
            yield from lines


def ours(path: Path) -> int:
    """Replay a ledger with the program; return the number of jobs."""
    from batchgen.ledger.replay import replay

    return len(replay(path).index)


def bare(path: Path) -> int:
    """Do the least that is possible: parse each line, keep the last one of each job."""
    import orjson

    last = {}
    with path.open("rb") as file:
        next(file)
        for line in file:
            record = orjson.loads(line)
            last[record["job"]] = record
    return len(last)


def side(name: str, path: Path) -> None:
    """Print one measurement of this process: seconds, peak kB, jobs."""
    measured = {"ours": ours, "bare": bare}[name]
    import_module("batchgen.ledger" if name == "ours" else "orjson")
    begun_s = time.perf_counter()
    jobs = measured(path)
    took_s = time.perf_counter() - begun_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(took_s, peak if sys.platform != "darwin" else peak // 1024, jobs)


def measure(name: str, path: Path) -> tuple[float, float]:
    """Measure one side in a process of its own; return seconds and peak MB."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_replay", "--side", name, str(path)]
    took_s, peak_kb, _ = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return float(took_s), float(peak_kb) / 1024


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=2, metavar=("NAME", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side(args.side[0], Path(args.side[1]))
        return
    print(f"{'jobs':>10} {'lines':>10} {'MB':>7}   {'orjson loop':>20}   {'replay':>20}   ratio")
    for jobs in map(int, args.jobs.split(",")):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "ledger.jsonl"
            with path.open("wb") as file:
                file.writelines(lines_of(jobs))
            pairs = [(measure("bare", path), measure("ours", path)) for _ in range(args.rounds)]
            size_mb = path.stat().st_size / 1e6
        bare_s, ours_s = (median(pair[n][0] for pair in pairs) for n in (0, 1))
        bare_mb, ours_mb = (max(pair[n][1] for pair in pairs) for n in (0, 1))
        ratio = median(pair[1][0] / pair[0][0] for pair in pairs)
        print(
            f"{jobs:>10,} {jobs * 4:>10,} {size_mb:>7,.0f}   {bare_s:>8.2f} s {bare_mb:>6,.0f} MB"
            f"   {ours_s:>8.2f} s {ours_mb:>6,.0f} MB   {ratio:>5.2f}"
        )


if __name__ == "__main__":
    main()
