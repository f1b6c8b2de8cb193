"""`batchgen serve`: a real process, asked as a browser, a stranger and a curious program would."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.served import MODEL, ROWS, Served, batchgen, begin_batch
from tests.kit.waiting import wait_until


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return the run directory of a batch in which one of three jobs is downloaded."""
    return begin_batch(tmp_path)


@pytest.fixture
def served(run_dir: Path) -> Iterator[Served]:
    """Start a server, and stop it."""
    server = Served(run_dir.parent)
    yield server
    server.stop()


def test_the_address_is_secret_and_local(served: Served) -> None:
    """The page is there, and nowhere else; another host or origin gets nothing."""
    own = f"127.0.0.1:{served.url.port}"

    assert served.url.hostname == "127.0.0.1"
    assert len(served.url.path.strip("/")) >= 16
    assert served.ask("")[0] == 200
    for path in ("/", "/index.html", "/x/", served.url.path[:-2] + "/", served.url.path.upper()):
        status, body = served.ask(path)
        assert status == 404, path
        assert served.url.path.strip("/").encode() not in body
    for host in ("localhost", f"localhost:{served.url.port}", "evil.example", own + "0", ""):
        assert served.ask("", Host=host)[0] in (400, 403), host
    assert served.ask("", Origin=f"http://{own}")[0] == 200
    for origin in ("null", "https://evil.example", f"http://localhost:{served.url.port}"):
        assert served.ask("", Origin=origin)[0] == 403, origin
        assert served.verdict({"job": "a", "verdict": "keep"}, Origin=origin) == 403


@pytest.mark.slow
def test_only_files_of_the_results_are_served(served: Served, run_dir: Path) -> None:
    """Not the ledger, no stray file, no listing, no link, nothing outside."""
    directory = run_dir
    (directory / "outputs" / "stray.png").write_bytes(b"\x89PNG")
    [file] = served.jobs()[0]["takes"][0]["files"]

    assert served.ask(file["href"])[0] == 200
    assert served.ask(file["thumb"])[0] == 200
    for path in (
        "ledger.jsonl", "reviews.jsonl", "run.json", "results.csv", "outputs/stray.png", "outputs/",
        "outputs", "report/", "../m.csv", "..%2fm.csv", "outputs/../ledger.jsonl", "%2fetc/passwd",
        "outputs/..%2f..%2fm.csv", "//etc/passwd", "file/0", "outputs/%00",
    ):  # fmt: skip
        assert served.ask(path)[0] in (400, 403, 404), path

    output = directory / file["href"]
    output.unlink()
    output.symlink_to("../ledger.jsonl")
    assert served.ask(file["href"])[0] == 404
    output.unlink()
    away = run_dir.parent / "away"
    output.parent.rename(away)
    (away / output.name).write_bytes(b"outside")
    output.parent.symlink_to(away)
    assert served.ask(file["href"])[0] == 404


def test_a_verdict_is_stored_at_once(served: Served, run_dir: Path) -> None:
    """A wrong one is refused with 4xx, and nothing of it is stored."""
    reviews = run_dir / "reviews.jsonl"
    for wrong in (
        {"job": "zz", "verdict": "keep"}, {"job": "a", "verdict": "love"}, {"job": "a"}, [], "x",
        {"job": "a", "verdict": "redo", "take": 2}, {"job": "a", "verdict": "keep", "note": 5},
        {"job": ["a"], "verdict": "keep"}, {"job": "a", "verdict": {}},
        {"job": "a", "verdict": "redo", "submitted_at": "2001-01-01T00:00:00.000Z"},
    ):  # fmt: skip
        assert 400 <= served.verdict(wrong) < 500, wrong
    assert served.verdict({"job": "a", "verdict": "keep"}, Content_Type="text/plain") == 415
    assert not reviews.exists()

    assert served.verdict({"job": "a", "verdict": "redo", "note": "warmer"}) == 204
    [line] = reviews.read_text().splitlines()
    stored = json.loads(line)
    assert (stored["job"], stored["take"], stored["verdict"]) == ("a", 1, "redo")
    assert served.jobs()[0]["takes"][0]["verdict"] == "redo"


def test_new_results_appear_while_the_page_is_open(served: Served, run_dir: Path) -> None:
    """Within 5 s, and Ctrl-C ends the server although a page listens."""
    link = http.client.HTTPConnection("127.0.0.1", served.url.port or 0, timeout=20)
    link.request("GET", served.url.path + "events?since=1")
    stream = link.getresponse()
    code = batchgen(
        run_dir.parent, "run", "m.csv", "--model", MODEL, "--sandbox", "--quiet"
    ).returncode
    ended_s = time.monotonic()
    assert code == 0
    states: dict[str, str] = {}
    while [states.get(job) for job in "bc"] != ["downloaded"] * 2:
        line = stream.readline()
        if line.startswith(b"data: "):
            states |= {card["job"]: card["state"] for _, card in json.loads(line[6:])["jobs"]}
    assert time.monotonic() - ended_s < 5

    begun_s = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(10) == 0
    assert time.monotonic() - begun_s < 5
    link.close()


@pytest.mark.slow
def test_a_wrong_or_taken_port_is_a_sentence(served: Served, run_dir: Path) -> None:
    """Which port, and what to do."""
    for port, code, said in (
        ("99999", 64, "'99999' is not a port; give 0 (a free one) to 65535"),
        (str(served.url.port), 74, "Address already in use; give another --port"),
    ):
        done = batchgen(run_dir.parent, "serve", "m.csv", "--sandbox", "--port", port)
        assert done.returncode == code
        assert said in done.stderr
        assert len(done.stderr) < 300


def begin_serving_run(home: Path, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """Begin a run that serves its page; return the process and the line with the address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batchgen", "run", "m.csv", "--model", MODEL, "--sandbox",
            "--serve", "--quiet"],
        cwd=home, env={**os.environ, "HOME": str(home), **environment}, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr.readline()


def test_the_page_is_served_beside_a_run(tmp_path: Path) -> None:
    """`run --serve` prints its address on stderr, and the server ends with the run."""
    (tmp_path / "m.csv").write_text(ROWS)
    process, line = begin_serving_run(tmp_path)
    address = line.rpartition(" ")[2].strip()
    with process:
        assert line == f"batchgen: the page of this run, live: {address}\n"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert b'"job":"b"' in answer.read()
        assert process.wait(30) == 0
    assert not _answers(address)


@pytest.mark.slow
def test_the_page_of_a_killed_run_ends(tmp_path: Path) -> None:
    """Its stdin is closed with the run, so no server is left behind."""
    (tmp_path / "m.csv").write_text("id,prompt\n" + "".join(f"j{n},a lake\n" for n in range(200)))
    process, line = begin_serving_run(tmp_path)
    with process:
        assert _answers(line.rpartition(" ")[2].strip())
        process.kill()
    address = line.rpartition(" ")[2].strip()
    wait_until(lambda: not _answers(address), "the server of the killed run ends")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def test_a_run_from_stdin_cannot_serve(tmp_path: Path) -> None:
    """The page reads the manifest again, and stdin can be read once."""
    done = batchgen(tmp_path, "run", "-", "--format", "csv", "--run-dir", "r", "--serve")
    assert done.returncode == 64
    assert "give a file, not -" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it reads /proc")
def test_the_page_of_a_run_has_no_token(tmp_path: Path) -> None:
    """The server beside a run needs none, so it is not in its environment either."""
    (tmp_path / "m.csv").write_text(ROWS)
    process, line = begin_serving_run(tmp_path, RUNCOMFY_TOKEN="token-of-this-test")
    with process:
        assert line
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        environments = [Path(f"/proc/{one}/environ").read_bytes() for one in children]
        assert environments
        assert not any(b"token-of-this-test" in one for one in environments)
        process.terminate()
