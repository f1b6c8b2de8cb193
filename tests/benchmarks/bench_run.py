"""Jobs per second of `run --no-download` against rivals on the same local server.

    python -m tests.benchmarks.bench_run

All are whole processes, start-up and all, in turn, against one server that answers with prebuilt
bytes. The rivals do POST, status and result for each prompt and keep and check nothing: a bare
aiohttp loop, a pool of threads with `requests`, and GNU parallel with curl if they are installed. A
run also checks the manifest, writes three durable ledger records a job, and the results.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.benchmarks.fast_server import serving, start
from tests.benchmarks.figures import Figure, interleaved, line_of, ratios
from tests.benchmarks.processes import PROGRAM, measured
from tests.kit import MODEL

IN_FLIGHT = 64

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

THREADS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import requests

base, token = os.environ["RUNCOMFY_MODEL_API_BASE"], os.environ["RUNCOMFY_TOKEN"]
local = threading.local()

def one(n):
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.headers["Authorization"] = f"Bearer {token}"
    body = {"prompt": f"thread {n}"}
    request_id = local.session.post(f"{base}/models/@MODEL@", json=body).json()["request_id"]
    url = f"{base}/requests/{request_id}"
    assert local.session.get(f"{url}/status").json()["status"] == "completed"
    assert local.session.get(f"{url}/result").json()["status"] == "succeeded"

with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(one, range(int(sys.argv[1]))))
""".replace("@MODEL@", MODEL)

CURL = """
seq "$1" | parallel --will-cite -j "$2" '
url="$RUNCOMFY_MODEL_API_BASE"; auth="Authorization: Bearer $RUNCOMFY_TOKEN"
id=$(curl -s -H "$auth" -H "Content-Type: application/json" -d "{\\"prompt\\":\\"curl {}\\"}" \
  "$url/models/@MODEL@" | sed "s/.*request_id.:.\\([^\\"]*\\).*/\\1/")
curl -s -H "$auth" "$url/requests/$id/status" >/dev/null
curl -s -H "$auth" "$url/requests/$id/result" >/dev/null'
""".replace("@MODEL@", MODEL)

_numbers = itertools.count()


def bare(jobs: int, in_flight: int) -> list[str]:
    """Return the command of the bare loop."""
    return [sys.executable, "-c", BARE, str(jobs), str(in_flight)]


def run_of(directory: Path, jobs: int, in_flight: int) -> list[str]:
    """Return the command of a first run over a new spreadsheet."""
    number = next(_numbers)
    manifest = directory / f"batch{number}.csv"
    rows = "".join(f"prompt {number} {n}\n" for n in range(jobs))
    manifest.write_text(f"prompt\n{rows}", encoding="utf-8")
    return [
        *PROGRAM, "run", str(manifest), "--model", MODEL, "--no-download", "--quiet",
        "--concurrency", str(in_flight),
    ]  # fmt: skip


def start_sandbox(
    *options: str, quiet: bool = False
) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start a sandbox in a process of its own, with room for everything."""
    return start(
        ["batchgen", "sandbox", "--capacity", "100000", "--balance", "1000000000", *options],
        quiet=quiet,
    )


def figures(quick: bool) -> Iterator[Figure]:
    """Yield the figures of runs against rivals."""
    rounds, jobs = (1, 600) if quick else (5, 6_000)
    with serving() as environment, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        yield from _against_the_loop(directory, environment, rounds, jobs)
        yield from _against_slow_rivals(directory, environment, rounds, jobs // 6)
        few, many = (500, 2_000) if quick else (5_000, 100_000)
        few_s, many_s = interleaved(
            min(rounds, 3),
            lambda: measured(run_of(directory, few, IN_FLIGHT), environment).wall_s,
            lambda: measured(run_of(directory, many, IN_FLIGHT), environment).wall_s,
        )
        grown = ratios([many / s for s in many_s], [few / s for s in few_s])
        yield Figure(f"jobs per second at {many:,} rows", f"at {few:,} rows", grown, 0.8)


def _against_the_loop(
    directory: Path, environment: Mapping[str, str], rounds: int, jobs: int
) -> Iterator[Figure]:
    pairs = [
        (
            measured(bare(jobs, IN_FLIGHT), environment),
            measured(run_of(directory, jobs, IN_FLIGHT), environment),
        )
        for _ in range(rounds)
    ]
    loop = "bare aiohttp loop"
    speed = tuple(alone.wall_s / run.wall_s for alone, run in pairs)
    yield Figure(f"jobs per second, {jobs:,} jobs, {IN_FLIGHT} in flight", loop, speed, 0.9)
    extra_ms = tuple((run.cpu_s - alone.cpu_s) / jobs * 1e3 for alone, run in pairs)
    yield Figure("CPU per job, above", loop, extra_ms, 0.3, at_least=False, unit="ms")


def _wall_s(command: list[str], environment: Mapping[str, str]) -> float:
    return measured(command, environment).wall_s


def _against_slow_rivals(
    directory: Path, environment: Mapping[str, str], rounds: int, jobs: int
) -> Iterator[Figure]:
    rivals = [("threads with requests", [sys.executable, "-c", THREADS], 1.0)]
    if shutil.which("parallel") and shutil.which("curl"):
        rivals.append(("GNU parallel and curl", ["bash", "-c", CURL, "bash"], 20.0))
    for name, command, target in rivals:
        words = [*command, str(jobs), str(IN_FLIGHT)]
        rival_s, run_s = interleaved(
            min(rounds, 3),
            partial(_wall_s, words, environment),
            lambda: measured(run_of(directory, jobs, IN_FLIGHT), environment).wall_s,
        )
        yield Figure(f"jobs per second, {jobs:,} jobs", name, ratios(rival_s, run_s), target)


if __name__ == "__main__":
    os.environ.pop("RUNCOMFY_CONFIG_DIR", None)
    for one in figures(quick=False):
        print(line_of(one), flush=True)
