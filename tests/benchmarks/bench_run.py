"""Jobs per second of `run --no-download` against a bare aiohttp loop on the same local server.

    python -m tests.benchmarks.bench_run [--jobs 4000] [--concurrency 64] [--rounds 3]

Both are whole processes, start-up and all, in turn, against one sandbox with jobs that end at once.
The bare loop does POST, status, result for each prompt and keeps nothing; the run also checks the
manifest, writes four durable ledger records a job, and the results. The ratio is what counts:
machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.fast_server import start, start_server
from tests.kit import MODEL

BARE = """
import asyncio, os, sys
import aiohttp

async def main(count, concurrency):
    base, token = os.environ["RUNCOMFY_MODEL_API_BASE"], os.environ["RUNCOMFY_TOKEN"]
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        async def worker():
            for n in numbers:
                body = {"prompt": f"bare {n}"}
                async with session.post(f"{base}/models/@MODEL@", json=body) as answer:
                    request_id = (await answer.json())["request_id"]
                url = f"{base}/requests/{request_id}"
                async with session.get(f"{url}/status") as answer:
                    assert (await answer.json())["status"] == "completed"
                async with session.get(f"{url}/result?include_cost=true") as answer:
                    assert (await answer.json())["status"] == "succeeded"
        await asyncio.gather(*(worker() for _ in range(concurrency)))

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
""".replace("@MODEL@", MODEL)


def main() -> None:
    """Print one line a round and the median."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sandbox", action="store_true", help="against the (slower) sandbox")
    args = parser.parse_args()
    server, environment = start_sandbox("--duration", "0-0") if args.sandbox else start_server()
    ratios = []
    try:
        with tempfile.TemporaryDirectory() as directory:
            for number in range(args.rounds):
                bare_s = _timed(
                    [sys.executable, "-c", BARE, str(args.jobs), str(args.concurrency)],
                    environment,
                )
                run_s = _timed(_run_command(Path(directory), number, args), environment)
                ratios.append(bare_s / run_s)
                print(
                    f"round {number + 1}: bare {args.jobs / bare_s:,.0f} jobs/s,"
                    f" batchgen {args.jobs / run_s:,.0f} jobs/s, ratio {ratios[-1]:.2f}"
                )
    finally:
        server.terminate()
        server.wait()
    print(f"median ratio {statistics.median(ratios):.2f}")


def _run_command(directory: Path, number: int, args: argparse.Namespace) -> list[str]:
    manifest = directory / f"round{number}.csv"
    rows = [f"prompt {number} {n}" for n in range(args.jobs)]
    manifest.write_text("\n".join(["prompt", *rows]) + "\n")
    return [
        sys.executable, "-m", "batchgen", "run", str(manifest), "--model", MODEL, "--no-download",
        "--concurrency", str(args.concurrency), "--quiet",
    ]  # fmt: skip


def start_sandbox(
    *options: str, quiet: bool = False
) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """A stand-in in a process of its own, with room for everything, and what to set for it."""
    return start(
        ["batchgen", "sandbox", "--capacity", "100000", "--balance", "1000000000", *options],
        quiet=quiet,
    )


def _timed(command: list[str], environment: dict[str, str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
