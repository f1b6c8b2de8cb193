"""News of a run: what a monitor, people and a metrics file are told, and what cannot harm a run."""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchgen.news.metrics_file import RunMetrics, write_metrics
from batchgen.news.ping import address_for
from batchgen.news.targets import shown
from tests.kit import MODEL
from tests.kit.waiting import wait_until

SECRET = "s3cr3t-path"


class Monitor:
    """A real server that notes each POST, and answers as a fault says."""

    def __init__(self, *, status: int = 200, hangs: bool = False) -> None:
        self.posts: list[tuple[str, str]] = []
        self._release = threading.Event()
        monitor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                monitor.posts.append((self.path, body.decode()))
                monitor.headers = dict(self.headers)
                if hangs:
                    monitor._release.wait(60)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.headers: dict[str, str] = {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{SECRET}"

    def close(self) -> None:
        self._release.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextmanager
def monitor(*, status: int = 200, hangs: bool = False) -> Iterator[Monitor]:
    """Serve until the block ends."""
    made = Monitor(status=status, hangs=hangs)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a manifest of one row."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    return tmp_path


def run(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the batch against the sandbox in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "batchgen", "run", "m.csv", "--model", MODEL, "--sandbox", *words],
        cwd=home, env={**os.environ, "HOME": str(home), **environment}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_monitor_hears_the_beginning_and_the_end(home: Path) -> None:
    """The end has the summary as its body, and never the token."""
    with monitor() as made:
        done = run(home, "--ping", made.url, RUNCOMFY_TOKEN="a-token-of-this-test")
        assert done.returncode == 0, done.stderr
        assert [path for path, _ in made.posts] == [f"/{SECRET}/start", f"/{SECRET}"]
        body = made.posts[1][1]
        assert "new: 1 done" in body
        assert "1 job: 1 downloaded" in body
        assert "a-token-of-this-test" not in body + repr(made.headers)


@pytest.mark.slow
def test_the_environment_names_the_monitor_too(home: Path) -> None:
    """So that the address is in no command line."""
    with monitor() as made:
        run(home, BATCHGEN_PING=made.url)
        assert len(made.posts) == 2


@pytest.mark.parametrize(
    "status", [302, *(pytest.param(n, marks=pytest.mark.slow) for n in (404, 500))]
)
@pytest.mark.slow
def test_a_monitor_that_refuses_changes_nothing(home: Path, status: int) -> None:
    """It is one line for each ping, without the secret part, and the exit code is that of the run.

    A redirect is not followed: the body would go to somebody else.
    """
    with monitor(status=status) as made:
        done = run(home, "--ping", made.url)
        assert done.returncode == 0
        lines = [line for line in done.stderr.splitlines() if "--ping" in line]
        assert len(lines) == 2
        assert all(f"the server answered {status}" in line for line in lines)
        assert SECRET not in done.stderr
        assert len(made.posts) == 2


@pytest.mark.slow
def test_a_monitor_that_hangs_is_not_waited_for(home: Path) -> None:
    """All news together take ten seconds at most."""
    with monitor(hangs=True) as made:
        begun_s = time.monotonic()
        done = run(home, "--ping", made.url, "--quiet")
        assert time.monotonic() - begun_s < 10 + 6
        assert done.returncode == 0
        assert "no answer" in done.stderr


@pytest.mark.slow
def test_nobody_listens(home: Path) -> None:
    """The reason is that of the system, without the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = run(home, "--ping", f"http://user:pass@127.0.0.1:{port}/{SECRET}?k=v")
    assert done.returncode == 0
    assert "cannot be reached" in done.stderr
    assert not re.search(f"{SECRET}|user|pass|k=v", done.stderr)


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("ftp://x/y", "http://", "https://[", "\u00e9")
        ),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_pinged_is_said(home: Path, address: str) -> None:
    """An address that is not valid stops no run."""
    done = run(home, "--ping", address)
    assert done.returncode == 0
    assert "--ping: " in done.stderr


def test_a_wrong_manifest_is_pinged_too(home: Path) -> None:
    """Early ends are what nobody would notice otherwise."""
    (home / "m.csv").write_text("id,prompt,scale\na,a lake,7\n")
    with monitor() as made:
        assert run(home, "--ping", made.url).returncode == 65
        assert [path for path, _ in made.posts] == [f"/{SECRET}/start", f"/{SECRET}/65"]
        assert "m.csv:2" in made.posts[1][1]


def test_a_dry_run_tells_nobody(home: Path) -> None:
    """Neither monitor nor metrics file."""
    with monitor() as made:
        done = run(home, "--dry-run", "--ping", made.url, "--metrics-file", "m.prom")
        assert done.returncode == 0
        assert made.posts == []
        assert not (home / "m.prom").exists()


def test_no_message_repeats_the_address(home: Path) -> None:
    """The command that resumes a run does not have it either."""
    with monitor() as made:
        done = run(home, "--ping", made.url, "--max-cost", "0.01")
        assert done.returncode == 75
        assert "to resume, run: batchgen run m.csv" in done.stderr
        assert SECRET not in done.stderr


def numbers(path: Path) -> dict[str, float]:
    """Return the metrics of a file by name and labels without the manifest."""
    found = re.findall(r'^(\w+)\{manifest="[^"]*"(?:,state="(\w+)")?\} (\S+)$', path.read_text(),
        re.MULTILINE)  # fmt: skip
    return {name + (f".{state}" if state else ""): float(value) for name, state, value in found}


def test_the_metrics_file(home: Path) -> None:
    """It has the numbers of the batch; a failed run keeps the time of the last success."""
    path = home / "m.prom"
    assert run(home, "--metrics-file", "m.prom").returncode == 0
    first = numbers(path)
    assert first["batchgen_jobs.downloaded"] == 1
    assert first["batchgen_jobs.pending"] == 0
    assert first["batchgen_cost_usd"] == 0.03
    assert first["batchgen_exit_code"] == 0
    success = first["batchgen_last_success_timestamp_seconds"]
    assert success == first["batchgen_last_run_timestamp_seconds"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    (home / "m.csv").write_text("id,prompt,scale\na,a lake,7\n")
    assert run(home, "--metrics-file", "m.prom").returncode == 65
    later = numbers(path)
    assert later["batchgen_exit_code"] == 65
    assert later["batchgen_last_success_timestamp_seconds"] == success
    assert later["batchgen_last_run_timestamp_seconds"] > success
    assert [one.name for one in home.iterdir() if one.name.endswith(".prom")] == ["m.prom"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_run_that_never_succeeded_has_no_success(tmp_path: Path) -> None:
    """An absent metric, and not a zero, which would be 1970."""
    path = tmp_path / "m.prom"
    write_metrics(path, RunMetrics(manifest="m", exit_code=75, run_seconds=1.0, ended_s=2.0))
    assert "last_success" not in path.read_text()


@pytest.mark.slow
def test_a_metrics_file_that_cannot_be_written_changes_nothing(home: Path) -> None:
    """It is one line."""
    done = run(home, "--metrics-file", "missing/m.prom")
    assert done.returncode == 0
    assert "--metrics-file: missing/m.prom: No such file or directory" in done.stderr


def test_a_metrics_file_replaces_no_device(tmp_path: Path) -> None:
    """It is one line that says why; nobody waits for the other end of a pipe."""
    pipe = tmp_path / "m.prom"
    os.mkfifo(pipe)
    for exit_code in (0, 1):
        metrics = RunMetrics(manifest="m", exit_code=exit_code, run_seconds=1.0, ended_s=2.0)
        assert write_metrics(pipe, metrics) == f"{pipe}: it is not a regular file"
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", 'ä, {x="y"}'])
def test_a_name_of_a_manifest_stays_one_label(tmp_path: Path, name: str) -> None:
    """Whatever it holds, the file stays valid, and the time of the last success is found again."""
    path = tmp_path / "m.prom"
    for code in (0, 1):
        metrics = RunMetrics(manifest=name, exit_code=code, run_seconds=1.0, ended_s=5.0 + code)
        assert write_metrics(path, metrics) == ""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'\w+\{manifest="(?:[^"\\]|\\.)*"\} \S+', line) for line in lines)
    assert any(line.startswith("batchgen_last_success") and line.endswith(" 5.0") for line in lines)


@pytest.mark.slow
def test_a_notification_is_sent_for_a_problem_only(home: Path) -> None:
    """Unless `--notify-on always` is given."""
    pytest.importorskip("apprise")
    with monitor() as made:
        address = made.url.replace("http://", "json://")
        assert run(home, "--notify", address).returncode == 0
        assert made.posts == []
        assert run(home, "--notify", address, "--notify-on", "always").returncode == 0
        assert len(made.posts) == 1
        assert "1 downloaded" in made.posts[0][1]
        (home / "m.csv").write_text("id,prompt,scale\na,a lake,7\n")
        assert run(home, "--notify", address).returncode == 65
        assert len(made.posts) == 2


@pytest.mark.slow
def test_a_notification_that_fails_is_one_line(home: Path) -> None:
    """Without any part of the address but its scheme."""
    pytest.importorskip("apprise")
    done = run(home, "--notify", "slack://T0KEN1/nonsense", "--notify-on", "always")
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "--notify" in line]
    assert len(lines) == 1
    assert "slack://…: " in lines[0]
    assert "T0KEN1" not in done.stderr


@pytest.mark.slow
def test_without_the_extra_it_is_one_line(home: Path) -> None:
    """The line names the extra, and the run ends as it would have."""
    (home / "apprise.py").write_text("raise ImportError\n")
    done = run(home, "--notify", "json://x", PYTHONPATH=f"{home}{os.pathsep}{Path.cwd()}")
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "notify" in line]
    assert len(lines) == 1
    assert "batchgen[notify]" in lines[0]


@pytest.mark.parametrize(
    ("address", "event", "wanted"),
    [
        ("https://hc.example/ping/u", "", "https://hc.example/ping/u"),
        ("https://hc.example/ping/u/", "start", "https://hc.example/ping/u/start"),
        ("https://hc.example/u?create=1", "75", "https://hc.example/u/75?create=1"),
        ("https://a:b@hc.example/%2F", "1", "https://a:b@hc.example/%2F/1"),
    ],
)
def test_the_event_is_added_to_the_path(address: str, event: str, wanted: str) -> None:
    """The query stays behind it."""
    assert str(address_for(address, event)) == wanted


@pytest.mark.parametrize(
    ("flag", "address", "text"),
    [
        ("--ping", "https://u:p@hc.example:8443/k?x=1#f", "https://hc.example:8443"),
        ("--notify", "tgram://123:KEY/chat", "tgram://…"),
        ("--notify", "KEY", "the address"),
        ("--ping", "https://[", "the address"),
    ],
)
def test_what_is_shown_of_an_address(flag: str, address: str, text: str) -> None:
    """Never user, path or query."""
    assert shown(flag, address) == text


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("hangs", [False, True])
def test_after_a_signal_the_run_ends_within_five_seconds(
    home: Path, number: int, code: int, hangs: bool
) -> None:
    """News included, also if the monitor hangs; it is told how the run ended."""
    (home / "m.csv").write_text("id,prompt\n" + "".join(f"j{n},a lake\n" for n in range(300)))
    with monitor(hangs=hangs) as made:
        words = ["run", "m.csv", "--model", MODEL, "--sandbox", "--quiet", "--ping", made.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "batchgen", *words], cwd=home,
            env={**os.environ, "HOME": str(home)},
        )  # fmt: skip
        wait_until(lambda: any((home / "m.run.sandbox" / "outputs").glob("*.png")), "an output")
        begun_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == code
        assert time.monotonic() - begun_s < 5.5
        assert [path for path, _ in made.posts] == [f"/{SECRET}/start", f"/{SECRET}/{code}"]


@pytest.mark.slow
def test_a_notification_has_the_contact_sheet(home: Path) -> None:
    """If the service takes files; it is a JPEG of at most 1 MB."""
    pytest.importorskip("apprise")
    with monitor() as made:
        address = made.url.replace("http://", "json://")
        assert run(home, "--notify", address, "--notify-on", "always").returncode == 0
        (picture,) = json.loads(made.posts[0][1])["attachments"]
        data = base64.b64decode(picture["base64"])
        assert data.startswith(b"\xff\xd8")
        assert len(data) <= 1_000_000
