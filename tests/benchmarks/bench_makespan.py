"""The makespan of a run, compared with slots that are never idle, as the server sees it.

    python -m tests.benchmarks.bench_makespan [CAP:JOBS:SECONDS ...]

The sandbox has room for the cap, and jobs of a fixed length; the run downloads nothing. Ideal is
the same jobs on CAP slots that are refilled in no time, CEIL(JOBS / CAP) x SECONDS. The makespan is
measured from the first accepted job to the end of the last, in the sandbox's own audit, so that it
shows what the run does with its slots and not how long Python takes to start.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from tests.benchmarks.bench_run import start_sandbox
from tests.kit import MODEL

DEFAULT = ("8:80:2", "64:640:4", "512:1536:20")


def main() -> None:
    """Print one line for each case."""
    print(
        f"{'cap':>5} {'jobs':>6} {'each':>6}  {'ideal':>8}  {'makespan':>8}  ideal/makespan  most"
    )
    for case in sys.argv[1:] or DEFAULT:
        cap, jobs, seconds = case.split(":")
        measure(int(cap), int(jobs), float(seconds))


def measure(cap: int, jobs: int, seconds: float) -> None:
    """Run one case and print its line."""
    server, environment = start_sandbox("--duration", f"{seconds}-{seconds}")
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
    times = [request["accepted_at"] for request in audit["requests"]]
    makespan_s = max(times) + seconds - min(times)
    ideal_s = math.ceil(jobs / cap) * seconds
    print(
        f"{cap:>5} {jobs:>6} {seconds:>4.0f} s  {ideal_s:>6.1f} s  {makespan_s:>6.1f} s"
        f"  {ideal_s / makespan_s:>14.3f}  {audit['in_flight_high_water']}"
    )


if __name__ == "__main__":
    main()
