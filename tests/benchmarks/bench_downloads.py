"""Bytes per second of `batchgen run` fetching finished jobs, against curl and sha256sum.

    python -m tests.benchmarks.bench_downloads [--rounds 3] [--scale 1.0]

Both fetch the same files from the same server on this machine, in turn, in one run: 2,000 of 1 MB
and 4 of 500 MB. On one side `curl --parallel`, then sha256sum over all files, then `sync` of them;
on the other a whole `batchgen run` on a ledger of completed jobs: it starts up, checks the
manifest, downloads, digests, checks, syncs, renames, and writes a durable record for each job and
the results. The ratio is what counts: machines are noisy. Memory is the peak of each process.

The server sends files with sendfile from the page cache, so that it is faster than any disk.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import resource
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.figures import Figure
from tests.kit import MODEL

MB = 1_000_000
PARALLEL = 8
"""Files at once, on both sides; it is what a run does."""


@dataclass(frozen=True)
class Load:
    """So many files of such a size."""

    count: int
    size_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.count * self.size_bytes

    def __str__(self) -> str:
        return f"{self.count:,} x {self.size_bytes / MB:g} MB"


@dataclass(frozen=True)
class Took:
    """What one side needed."""

    wall_s: float
    peak_bytes: int


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET of a file below the directory of the server, nothing else."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        path = self.root / self.path.rpartition("/")[2]
        if not path.is_file():  # the catalogue, which has no model
            self.send_error(404)
            return
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Length", str(size_bytes))
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("ETag", f'"{self.path}"')
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(root: Path) -> None:
    """Run by the child that is the server; prints its port."""
    _Handler.root = root
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The server in a process of its own; its address."""
    command = [sys.executable, "-m", __spec__.name, "--serve", str(root)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def make_files(root: Path, load: Load) -> list[str]:
    """Files of random bytes that differ from each other.

    Piece by piece: a child's peak of memory begins with that of the process it was forked from.
    """
    block = bytearray(os.urandom(MB))
    names = []
    for number in range(load.count):
        block[1:9] = number.to_bytes(8, "big")
        names.append(f"{number}.bin")
        with (root / names[-1]).open("wb") as file:
            for at in range(0, load.size_bytes, MB):
                file.write(block[: load.size_bytes - at])
    return names


def with_curl(origin: str, names: list[str], directory: Path) -> Took:
    """Fetched, digested, durable."""
    directory.mkdir()
    config = directory / "urls"
    config.write_text("".join(f'url = "{origin}/{n}"\noutput = "{directory}/{n}"\n' for n in names))
    steps = [
        ["curl", "--no-progress-meter", "--fail", "--parallel", "--parallel-max", str(PARALLEL),
         "--config", str(config)],
        ["sh", "-c", f"cd {directory} && ls *.bin | xargs sha256sum > SHA256SUMS"],
        ["sync", "--file-system", str(directory)],
    ]  # fmt: skip
    return _timed(steps, dict(os.environ))


def with_batchgen(origin: str, names: list[str], directory: Path, *flags: str) -> Took:
    """The same files as the outputs of jobs that are completed and not downloaded."""
    directory.mkdir()
    manifest = directory / "bench.csv"
    manifest.write_text("id,prompt\n" + "".join(f"{n},prompt {n}\n" for n in names))
    _write_ledger(directory, manifest, origin, names)
    environment = {
        **os.environ, "RUNCOMFY_TOKEN": "bench-token", "RUNCOMFY_MODEL_API_BASE": f"{origin}/v1",
    }  # fmt: skip
    run = [
        sys.executable,
        "-m",
        "batchgen",
        "run",
        str(manifest),
        "--model",
        MODEL,
        "--quiet",
        *flags,
    ]
    took = _timed([run], environment)
    _check(directory / "bench.run", names)
    return took


def _write_ledger(directory: Path, manifest: Path, origin: str, names: list[str]) -> None:
    from batchgen.core.jobs import fingerprint

    run_dir = manifest.with_suffix(".run")
    run_dir.mkdir()
    ts = "2026-11-22T02:00:00.000Z"
    lines = [json.dumps({"ledger": "batchgen", "v": 1, "api": origin})]
    for name in names:
        digest = fingerprint(MODEL, {"prompt": f"prompt {name}"})
        record = {
            "ts": ts, "job": name, "state": "completed", "attempt": 1, "request_id": f"r-{name}",
            "outputs": [f"{origin}/{name}"], "fingerprint": digest, "submitted_at": ts,
            "finished_at": ts,
        }  # fmt: skip
        lines.append(json.dumps(record))
    (run_dir / "ledger.jsonl").write_text("\n".join(lines) + "\n")


def _check(run_dir: Path, names: list[str]) -> None:
    made = list((run_dir / "outputs").glob("*.bin"))
    assert len(made) == len(names), f"{len(made)} files"


def _timed(steps: list[list[str]], environment: dict[str, str]) -> Took:
    began_s = time.perf_counter()
    peak_bytes = 0
    for step in steps:
        process = subprocess.Popen(step, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, step
        peak_bytes = max(peak_bytes, usage.ru_maxrss * 1024)
    return Took(time.perf_counter() - began_s, peak_bytes)


def figures(quick: bool) -> Iterator[Figure]:
    """Yield the throughput against curl, sha256sum and sync, if curl is installed."""
    if shutil.which("curl") is None:
        return
    rounds, loads = 3, (Load(2_000, MB), Load(4, 500 * MB))
    if quick:
        rounds, loads = 1, (Load(50, MB), Load(2, 20 * MB))
    with tempfile.TemporaryDirectory() as directory:
        for load in loads:
            found = compare(load, rounds, Path(directory), say=lambda _: None)
            name = f"downloads of {load}, bytes per second"
            yield Figure(name, "curl --parallel, sha256sum, sync", tuple(found), 1.2)


def compare(load: Load, rounds: int, base: Path, say: Callable[[str], None] = print) -> list[float]:
    """Say a line a round; return the ratios of throughputs, ours over curl's."""
    ratios = []
    root = base / "files"
    root.mkdir()
    names = make_files(root, load)
    os.sync()
    with serving(root) as origin:
        for number in range(rounds):
            sides = [with_curl, with_batchgen]
            took = {}
            for side in sides if number % 2 == 0 else sides[::-1]:
                directory = base / side.__name__
                took[side] = side(origin, names, directory)
                shutil.rmtree(directory)
                os.sync()  # what one side left to be written is not the other's burden
            theirs, ours = took[with_curl], took[with_batchgen]
            ratios.append(theirs.wall_s / ours.wall_s)
            say(
                f"{load}, round {number + 1}:"
                f" curl {load.total_bytes / MB / theirs.wall_s:,.0f} MB/s,"
                f" batchgen {load.total_bytes / MB / ours.wall_s:,.0f} MB/s"
                f" (peak {ours.peak_bytes / MB:,.0f} MB), ratio {ratios[-1]:.2f}"
            )
    shutil.rmtree(root)
    return ratios


def main() -> None:
    """Print a line a round and the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of small files")
    parser.add_argument("--directory", type=Path, help="on the disk to measure (the system's)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        threading.Thread(target=_serve, args=[args.serve], daemon=True).start()
        threading.Event().wait()
    if shutil.which("curl") is None:
        sys.exit("this needs curl (Debian: apt install curl)")
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    loads = [Load(round(2_000 * args.scale), 1 * MB), Load(4, round(500 * MB * args.scale))]
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        for load in loads:
            found = compare(load, args.rounds, Path(directory))
            print(f"{load}: median ratio {median(found):.2f}")


if __name__ == "__main__":
    main()
