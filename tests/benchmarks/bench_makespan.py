"""The makespan of a run, compared with slots that are never idle, as the server sees it.

    python -m tests.benchmarks.bench_makespan [CAP:JOBS:SECONDS ...]

The sandbox lets no job wait and has room for the cap; jobs have a fixed length, and the run
downloads nothing. Ideal is the same jobs on CAP slots that are refilled in no time:
CEIL(JOBS / CAP) times SECONDS. The makespan is measured from the first accepted job to the end of
the last, in the sandbox's own audit: it shows what the run does with its slots, not how fast Python
starts.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bench_run import start_sandbox
from tests.benchmarks.figures import Figure
from tests.kit import MODEL

DEFAULT = ("8:80:2", "64:640:4", "512:1536:20")


def figures(quick: bool) -> Iterator[Figure]:
    """Yield the share of the time in which no slot is idle, for several caps."""
    for case in DEFAULT[:1] if quick else DEFAULT:
        cap, jobs, seconds = case.split(":")
        share = measure(int(cap), int(jobs), float(seconds))
        name = f"slots in use, cap {cap}, {jobs} jobs of {seconds} s"
        yield Figure(name, "slots that never idle", (share,), 0.97)


def main() -> None:
    """Print one line for each case."""
    for case in sys.argv[1:] or DEFAULT:
        cap, jobs, seconds = case.split(":")
        share = measure(int(cap), int(jobs), float(seconds))
        print(
            f"cap {cap:>4}, {jobs:>5} jobs of {seconds:>3} s: {share:.3f} of the ideal", flush=True
        )


def measure(cap: int, jobs: int, seconds: float) -> float:
    """Run one case, and return the ideal time as a share of the makespan."""
    server, environment = start_sandbox("--queue", "0-0", "--duration", f"{seconds}-{seconds}")
    try:
        with tempfile.TemporaryDirectory() as directory:
            manifest = Path(directory) / "m.csv"
            manifest.write_text("prompt\n" + "".join(f"prompt {n}\n" for n in range(jobs)))
            subprocess.run(
                [sys.executable, "-m", "batchgen", "run", str(manifest), "--model", MODEL,
                 "--concurrency", str(cap), "--no-download", "--quiet"],
                env=environment, check=True,
            )  # fmt: skip
        origin = environment["RUNCOMFY_MODEL_API_BASE"].removesuffix("/v1")
        with urllib.request.urlopen(f"{origin}/sandbox/audit") as answer:
            audit = json.load(answer)
    finally:
        server.terminate()
        server.wait()
    times: list[float] = [request["accepted_at"] for request in audit["requests"]]
    makespan_s = max(times) + seconds - min(times)
    return math.ceil(jobs / cap) * seconds / makespan_s


if __name__ == "__main__":
    main()
