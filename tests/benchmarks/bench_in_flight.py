"""What one process can hold: submissions per second, memory and ledger bytes per job in flight.

    python -m tests.benchmarks.bench_in_flight [--jobs 100000]

Every job stays in flight in a sandbox on this machine until all are submitted; then the run is
interrupted. The sandbox shares the cores, so the speed is what both can do together.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kit import MODEL
from tests.kit.live import prompts

PAUSE_S = 1.0
IN_QUEUE = b'"state":"in_queue"'
SANDBOX = (
    "sandbox", "--port", "0", "--duration", "3000-3600", "--capacity", "10000000", "--balance",
    "10000000",
)  # fmt: skip


def rss_bytes(pid: int) -> int:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def accepted(ledger: Path) -> int:
    """Return how many jobs the ledger knows as accepted."""
    return ledger.read_bytes().count(IN_QUEUE) if ledger.exists() else 0


def main() -> None:
    """Submit, and print a line when half and when all are in flight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    args = parser.parse_args()
    program = [sys.executable, "-m", "batchgen"]
    with tempfile.TemporaryDirectory() as name:
        manifest = prompts(Path(name) / "m.csv", args.jobs)
        ledger = manifest.with_suffix(".run") / "ledger.jsonl"
        server = subprocess.Popen(
            [*program, *SANDBOX], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert server.stdout is not None
        line = next(line for line in server.stdout if "http://" in line)
        url = next(word for word in line.replace(";", " ").split() if word.startswith("http://"))
        environment = {
            **os.environ, "RUNCOMFY_TOKEN": "sandbox-token", "RUNCOMFY_MODEL_API_BASE": url,
        }  # fmt: skip
        begun_s = time.perf_counter()
        run = subprocess.Popen(
            [*program, "run", str(manifest), "--model", MODEL, "--concurrency", str(args.jobs),
             "--no-download", "--job-timeout", "2h", "--quiet"],
            env=environment,
        )  # fmt: skip
        half: tuple[int, int] | None = None
        try:
            while (count := accepted(ledger)) < args.jobs and run.poll() is None:
                if half is None and count >= args.jobs // 2:
                    half = count, rss_bytes(run.pid)
                time.sleep(PAUSE_S)
            took_s, memory = time.perf_counter() - begun_s, rss_bytes(run.pid)
            each = (memory - half[1]) / (count - half[0]) if half else 0.0
            size = ledger.stat().st_size
            print(
                f"{count:,} jobs in flight after {took_s:.0f} s: {count / took_s:,.0f} per second"
            )
            print(f"memory {memory / 1e6:,.0f} MB, {each / 1e3:.1f} kB for each of the second half")
            print(f"ledger {size / count:,.0f} bytes per job so far")
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(60)
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
