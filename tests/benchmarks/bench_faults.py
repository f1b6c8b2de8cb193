"""The cost of each fault of the sandbox: jobs created per row, how the jobs ended, and time.

    python -m tests.benchmarks.bench_faults [--jobs N] [--concurrency N] [--duration S-S] [RULE ...]

Each line is one `batchgen run` of its own against a sandbox process with that fault. `paid` is the
most jobs that the sandbox created for any one row in one run; it is more than 1 only if a failure
that cost nothing was generated again. `ratio` is the time as a
multiple of that without faults.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from tests.benchmarks.bench_run import start_sandbox
from tests.kit import MODEL

RULES = (
    "submit:429:rate=0.3", "submit:429:rate=0.1:retry_after=1", "submit:503:rate=0.1:retry_after=1",
    "submit:500:rate=0.05", "submit:lose-answer:rate=0.05", "submit:drop:rate=0.05",
    "submit:reset:rate=0.05", "submit:bad-json:rate=0.05", "submit:no-request-id:rate=0.05",
    "submit:error-code:rate=0.05", "submit:422:rate=0.1", "status:504:rate=0.3",
    "status:html:rate=0.3", "status:hang:rate=0.02:for_s=3", "result:500:rate=0.3",
    "result:failed:rate=0.1", "result:failed:rate=0.1:cost_usd=0.03", "result:no-output:rate=0.05",
    "result:expired:rate=0.05", "file:500:rate=0.3", "file:truncate:rate=0.3", "file:expired-url",
    "file:slow:rate=0.3:delay_s=1", "catalogue:500", "any:503:from_s=4:to_s=14",
    "any:refuse:from_s=4:to_s=14", "chaos=0.3",
)  # fmt: skip


def main() -> None:
    """Print one line for each fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--duration", default="0.2-0.6", help="seconds that a job runs")
    parser.add_argument("rules", nargs="*", default=RULES)
    args = parser.parse_args()
    print(f"{'fault':<40} {'exit':>4} {'paid':>4} {'jobs':>5} {'wall':>7} {'ratio':>5}  states")
    free_s = 0.0
    for rule in ("", *args.rules):
        code, paid, created, wall_s, states = measure(
            rule, args.jobs, args.concurrency, args.duration
        )
        free_s = free_s or wall_s
        found = ", ".join(f"{count} {state}" for state, count in states.most_common())
        print(
            f"{rule or 'none':<40} {code:>4} {paid:>4} {created:>5} {wall_s:>5.1f} s"
            f" {wall_s / free_s:>5.2f}  {found}",
            flush=True,
        )


def measure(
    rule: str, jobs: int, concurrency: int, duration: str
) -> tuple[int, int, int, float, Counter[str]]:
    """Return exit code, most jobs for a row, jobs created, wall seconds, final states."""
    options = ["--duration", duration]
    if rule.startswith("chaos="):
        options += ["--chaos", rule.removeprefix("chaos=")]
    elif rule:
        options += ["--fault", rule]
    server, environment = start_sandbox(*options, quiet=True)
    try:
        with tempfile.TemporaryDirectory() as directory:
            manifest = Path(directory) / "m.csv"
            rows = "".join(f"j{n},prompt {n}\n" for n in range(jobs))
            manifest.write_text("id,prompt\n" + rows)
            began_s = time.perf_counter()
            run = subprocess.run(
                [sys.executable, "-m", "batchgen", "run", str(manifest), "--model", MODEL,
                 "--concurrency", str(concurrency), "--quiet"],
                env=environment, check=False, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            wall_s = time.perf_counter() - began_s
            last = {}
            with (Path(directory) / "m.run/ledger.jsonl").open() as ledger:
                next(ledger)
                for line in ledger:
                    record = json.loads(line)
                    last[record["job"]] = record["state"]
        origin = environment["RUNCOMFY_MODEL_API_BASE"].removesuffix("/v1")
        with urllib.request.urlopen(f"{origin}/sandbox/audit") as answer:
            requests = json.load(answer)["requests"]
    finally:
        server.terminate()
        server.wait()
    paid = Counter(request["prompt"] for request in requests)
    return (
        run.returncode,
        max(paid.values(), default=0),
        len(requests),
        wall_s,
        Counter(last.values()),
    )


if __name__ == "__main__":
    main()
