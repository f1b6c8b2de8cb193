"""Manifests at an address: a real server with every fault, and what is submitted and collected."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest

from batchgen.app.address_manifest import kept_manifest
from batchgen.core.manifest_address import is_web_page, shown_address
from batchgen.sandbox import SandboxConfig
from batchgen.system.run_directory import RunDirectory
from tests.kit import MODEL
from tests.kit.cases import few
from tests.kit.live import Live, live_sandbox

CSV = "id,prompt\na,a lake\n"
SECRET = "s3cr3t"


class Web:
    """A server whose answer can be changed; it notes what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.type = 200, CSV.encode(), "text/csv; charset=utf-8"
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.asked: list[dict[str, str]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(
                    {"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
                )
                self.send_response(web.status)
                if web.type:
                    self.send_header("Content-Type", web.type)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(web.length or len(web.body)))
                self.end_headers()
                self.wfile.write(web.body)

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def address(self, path: str = "/d/sheet/export?format=csv&key=" + SECRET) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    """Serve a spreadsheet of one row."""
    made = Web()
    yield made
    made.close()


def batchgen(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "batchgen", *words], cwd=home,
        env={**os.environ, "HOME": str(home), **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def run(
    home: Path, address: str, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the batch against the sandbox."""
    flags = ["--run-dir", "r", "--model", MODEL, "--sandbox"]
    return batchgen(home, "run", address, *flags, *words, **environment)


def test_a_sheet_is_fetched_once_and_kept(tmp_path: Path, web: Web) -> None:
    """Without token, cookie or Referer; the bytes that the run used are in its directory."""
    done = run(tmp_path, web.address(), RUNCOMFY_TOKEN="token-of-this-test")
    assert done.returncode == 0, done.stderr
    assert len(web.asked) == 1
    assert not {"authorization", "cookie", "referer"} & set(web.asked[0])
    directory = tmp_path / "r.sandbox"
    assert (directory / "manifest-copy.csv").read_text() == CSV
    assert "a,a lake" in (directory / "results.csv").read_text()
    kept = b"".join(one.read_bytes() for one in directory.rglob("*") if one.is_file())
    assert SECRET.encode() not in kept
    assert SECRET not in done.stderr


@pytest.mark.slow
def test_the_sheet_as_it_is_by_now(tmp_path: Path, web: Web) -> None:
    """The next run fetches it again, and does the new rows only."""
    run(tmp_path, web.address())
    web.body = (CSV + "b,a hill\n").encode()
    done = run(tmp_path, web.address(), "--json")
    assert json.loads(done.stdout)["states"]["downloaded"] == 2
    assert len(web.asked) == 2


def workbook(tmp_path: Path) -> bytes:
    book = openpyxl.Workbook()
    for row in (["id", "prompt"], ["a", "a lake"]):
        book.active.append(row)
    book.save(tmp_path / "made.xlsx")
    return (tmp_path / "made.xlsx").read_bytes()


@pytest.mark.parametrize(
    ("path", "type_", "body", "words"),
    [
        ("/m.csv", "application/octet-stream", CSV.encode(), []),
        ("/m", "text/csv", CSV.encode(), []),
        ("/m", "text/tab-separated-values", CSV.replace(",", "\t").encode(), []),
        ("/m.jsonl", "", b'{"id": "a", "prompt": "a lake"}\n', []),
        ("/m", "application/x-ndjson", b'{"id": "a", "prompt": "a lake"}\n', []),
        ("/m", "application/yaml", b"prompts: [{id: a, prompt: a lake}]\n", []),
        ("/m", "application/octet-stream", CSV.encode(), ["--format", "csv"]),
        ("/m.txt", "text/html", b"a lake\n", []),
    ],
)  # fmt: skip
def test_the_format(
    tmp_path: Path, web: Web, path: str, type_: str, body: bytes, words: list[str]
) -> None:
    """By `--format`, the ending in the path, or the Content-Type."""
    web.type, web.body = type_, body
    done = batchgen(
        tmp_path, "check", web.address(path), "--run-dir", "r", "--model", MODEL, *words
    )
    assert (done.returncode, "1 job, nothing wrong" in done.stdout) == (0, True), done.stderr


def test_a_workbook(tmp_path: Path, web: Web) -> None:
    """It needs no ending."""
    web.body = workbook(tmp_path)
    web.type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert run(tmp_path, web.address("/m")).returncode == 0


def login_page(web: Web) -> None:
    web.body, web.type = b"<!DOCTYPE html><html><body>Sign in", "text/html"


def page_called_csv(web: Web) -> None:
    web.body = b"\n<html lang=en><body>Sign in"


def short_body(web: Web) -> None:
    web.length = 10_000


def wrong_status(web: Web) -> None:
    web.status = 503


def forbidden(web: Web) -> None:
    web.status = 403


def endless_redirects(web: Web) -> None:
    web.status, web.headers = 302, {"Location": web.address()}


def odd_redirect(web: Web) -> None:
    web.status, web.headers = 302, {"Location": "ftp://127.0.0.1/x"}


def unknown_kind(web: Web) -> None:
    web.type = "application/octet-stream"


def broken_gzip(web: Web) -> None:
    web.headers = {"Content-Encoding": "gzip"}


FAULTS: list[tuple[Callable[[Web], None], int, str]] = [
    (login_page, 65, "is a web page and not a table"),
    (page_called_csv, 65, "perhaps a page to log in"),
    (unknown_kind, 65, "say --format"),
    (short_body, 66, "ended before it was whole"),
    (wrong_status, 66, "the server answered 503"),
    (forbidden, 66, "the server answered 403"),
    (endless_redirects, 66, "more than 5 redirects"),
    (odd_redirect, 66, "only https is fetched"),
    (broken_gzip, 66, "ended before it was whole"),
]


def each_fault(*often: str) -> pytest.MarkDecorator:
    """Range over the faults; those that are not named here are tried in `make test-all` only."""
    names = [one[0].__name__ for one in FAULTS]
    cases = [
        pytest.param(*one, marks=[] if name in often else pytest.mark.slow)
        for name, one in zip(names, FAULTS, strict=True)
    ]
    return pytest.mark.parametrize(("fault", "code", "text"), cases, ids=names)


@each_fault("login_page", "short_body", "wrong_status", "endless_redirects")
def test_nothing_is_submitted(
    tmp_path: Path, web: Web, fault: Callable[[Web], None], code: int, text: str
) -> None:
    """The reason is a sentence without the secret part, and nothing is left behind."""
    fault(web)
    done = run(tmp_path, web.address())
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert SECRET not in done.stderr
    assert not (tmp_path / "r.sandbox").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    """The reason is that of the system."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/m.csv?k={SECRET}"
        done = run(tmp_path, address)
    assert done.returncode == 66
    assert "Connect" in done.stderr
    assert SECRET not in done.stderr


def begin_in_flight(home: Path, web: Web, live: Live) -> None:
    """Submit one job, and leave it in flight."""
    words = ["run", web.address(), "--run-dir", "r", "--model", MODEL, "--max-runtime", "1s"]
    done = batchgen(home, *words, **api(live))
    assert done.returncode == 75, done.stderr


def api(live: Live) -> dict[str, str]:
    return {"RUNCOMFY_TOKEN": live.token, "RUNCOMFY_MODEL_API_BASE": live.base_url}


@pytest.mark.slow
@each_fault("login_page")
def test_jobs_in_flight_are_collected_from_the_last_copy(
    tmp_path: Path, web: Web, fault: Callable[[Web], None], code: int, text: str
) -> None:
    """They are paid for; a new row of the copy is not submitted, and the exit code stays."""
    with live_sandbox(SandboxConfig(duration_min_s=2.5, duration_max_s=2.5)) as live:
        begin_in_flight(tmp_path, web, live)
        copy = tmp_path / "r" / "manifest-copy.csv"
        copy.write_text(CSV + "b,a hill\n")
        fault(web)
        words = ["run", web.address(), "--run-dir", "r", "--model", MODEL, "--json"]
        done = batchgen(tmp_path, *words, **api(live))
        found = json.loads(done.stdout)
        assert (done.returncode, found["exit_code"]) == (code, code), done.stderr
        assert text in done.stderr
        assert "jobs in flight were collected from the last copy" in done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert (found["states"]["downloaded"], found["states"]["pending"]) == (1, 1)
        assert len(live.audit.requests) == 1
        last = (tmp_path / "r" / "history.jsonl").read_text().splitlines()[-1]
        assert json.loads(last)["exit_code"] == code

        again = batchgen(tmp_path, *words, **api(live))
        assert (again.returncode, text in again.stderr) == (code, True)
        assert "were collected" not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "status",
        "retry",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("report", "runs", "cancel")),
    ],
)
def test_other_commands_use_the_last_copy(tmp_path: Path, web: Web, command: str) -> None:
    """If the address gives nothing; `check` says what is wrong with it."""
    run(tmp_path, web.address())
    web.status = 500
    done = batchgen(tmp_path, command, web.address(), "--run-dir", "r", "--sandbox")
    assert SECRET not in done.stdout + done.stderr
    if command == "retry":
        assert done.returncode == 66
    else:
        assert done.returncode == 0, done.stderr
    checked = batchgen(tmp_path, "check", web.address(), "--run-dir", "r", "--model", MODEL)
    assert checked.returncode == 66


@pytest.mark.slow
def test_verdicts_on_a_sheet(tmp_path: Path, web: Web) -> None:
    """Review and redo work as with a file."""
    run(tmp_path, web.address())
    (tmp_path / "v.csv").write_text("job,verdict\na,redo\n")
    done = batchgen(tmp_path, "review", web.address(), "v.csv", "--run-dir", "r", "--sandbox")
    assert done.returncode == 0, done.stderr
    assert json.loads(run(tmp_path, web.address(), "--json").stdout)["files"] == 1


@pytest.mark.parametrize(
    ("address", "words", "code", "text"),
    [
        ("https://example.com/m.csv", [], 64, "needs --run-dir"),
        ("http://example.com/m.csv", ["--run-dir", "r"], 64, "plain http"),
        ("ftp://example.com/m.csv", ["--run-dir", "r"], 64, "https://"),
        ("https://u:s3cr3t@example.com/m.csv", ["--run-dir", "r"], 64, "a user name or a password"),
        ("https://[", ["--run-dir", "r"], 64, "not a valid URL"),
        ("https://10.0.0.1/m.csv", ["--run-dir", "r"], 66, "private network"),
    ],
)
@pytest.mark.slow
def test_addresses_that_are_not_fetched(
    tmp_path: Path, address: str, words: list[str], code: int, text: str
) -> None:
    """A sentence without what may be a secret, before anything is asked."""
    done = batchgen(tmp_path, "run", address, *words)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize("row", ["prompts: {file: rows.csv}", "schema: s.json\nprompts: [a]"])
def test_a_sheet_names_no_files_of_this_machine(tmp_path: Path, web: Web, row: str) -> None:
    """Also with `--allow-outside`: it comes from anybody."""
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "s.json").write_text("{}")
    web.type, web.body = "application/yaml", f"model: {MODEL}\n{row}\n".encode()
    done = run(tmp_path, web.address(), "--allow-outside")
    assert done.returncode == 65
    assert "cannot name files on this machine" in done.stderr


def test_errors_name_the_row_of_the_sheet(tmp_path: Path, web: Web) -> None:
    """And `--json` has file, row and column."""
    web.body = b"id,prompt,scale\na,a lake,7\n"
    done = run(tmp_path, web.address(), "--json")
    problem = json.loads(done.stdout)["problems"][0]
    assert problem["file"] == shown_address(web.address())
    assert (problem["row"], SECRET in done.stdout + done.stderr) == (2, False)


@pytest.mark.slow
def test_a_directory_that_is_not_where_it_was(tmp_path: Path, web: Web) -> None:
    """The ledger of an address is remembered with its directory."""
    with live_sandbox() as live:
        words = ["run", web.address(), "--model", MODEL, "--run-dir"]
        assert batchgen(tmp_path, *words, "r", **api(live)).returncode == 0
        (tmp_path / "r").rename(tmp_path / "moved")
        done = batchgen(tmp_path, *words, "r", **api(live))
        assert (done.returncode, "no ledger here any more" in done.stderr) == (65, True)
        assert batchgen(tmp_path, *words, "moved", **api(live)).returncode == 0
        assert len(live.audit.requests) == 1


@pytest.mark.parametrize(
    ("type_", "begin", "page"),
    [
        ("text/csv", b"<!-- x --> <!doctype HTML>", True),
        ("text/html", b"id,prompt", False),
        ("text/html; charset=x", b" <div>", True),
        ("text/csv", b"<html", True),
        ("text/csv", b"<htmlish,prompt", False),
        ("", b"\x1f\x8b\x08\x00", False),
    ],
)
def test_what_a_web_page_is(type_: str, begin: bytes, page: bool) -> None:
    """Its first bytes decide, or its type together with a tag."""
    assert is_web_page(type_, begin) is page


def test_the_limit_of_a_sheet_holds(tmp_path: Path, web: Web) -> None:
    """Its `run:` is known only after it was fetched, and counts as that of a file does."""
    web.type = "application/yaml"
    web.body = f"model: {MODEL}\nrun: {{limit: 1}}\nprompts: [a, b, c]\n".encode()
    found = json.loads(run(tmp_path, web.address(), "--json").stdout)
    assert (found["states"]["downloaded"], found["states"]["pending"]) == (1, 2)


@pytest.mark.parametrize("place", ["{home}/elsewhere", "../elsewhere", "a/../../elsewhere"])
def test_a_sheet_writes_only_below_the_run_directory(tmp_path: Path, web: Web, place: str) -> None:
    """An `output.dir` that leads out is refused, and named with its key."""
    web.type = "application/yaml"
    out = place.format(home=tmp_path)
    web.body = f"model: {MODEL}\noutput: {{dir: {out}}}\nprompts: [a]\n".encode()
    done = run(tmp_path, web.address())
    assert done.returncode == 65
    assert f"{shown_address(web.address())}:2: output.dir: " in done.stderr
    assert "cannot name files on this machine" in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "r.sandbox").exists()


@pytest.mark.parametrize("command", few(["status", "report", "runs"]))
def test_a_note_says_that_the_copy_is_used(tmp_path: Path, web: Web, command: str) -> None:
    """With the reason, so that nobody takes yesterday's rows for those of today."""
    run(tmp_path, web.address())
    web.status = 500
    done = batchgen(tmp_path, command, web.address(), "--run-dir", "r", "--sandbox")
    assert "the server answered 500; the copy that the last run kept is used" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", few([["run", "--job", "nowhere"], ["retry", "--all"]]))
def test_whatever_was_asked_what_is_in_flight_is_collected(
    tmp_path: Path, web: Web, words: list[str]
) -> None:
    """`--job` and `retry` choose what is submitted, and nothing is; a wrong row is in no way."""
    with live_sandbox(SandboxConfig(duration_min_s=2.5, duration_max_s=2.5)) as live:
        begin_in_flight(tmp_path, web, live)
        copy = tmp_path / "r" / "manifest-copy.csv"
        copy.write_text("id,prompt,scale\na,a lake,\nb,a hill,77\n")
        web.status = 503
        flags = ["--run-dir", "r", "--model", MODEL, "--json", *words[1:]]
        done = batchgen(tmp_path, words[0], web.address(), *flags, **api(live))
        assert done.returncode == 66, done.stderr
        assert json.loads(done.stdout)["states"]["downloaded"] == 1
        assert len(live.audit.requests) == 1


@pytest.mark.parametrize(("fault", "code"), [(wrong_status, 66), (login_page, 65)])
@pytest.mark.slow
def test_a_copy_that_cannot_be_read_is_named_too(
    tmp_path: Path, web: Web, fault: Callable[[Web], None], code: int
) -> None:
    """The exit code is that of the sheet."""
    with live_sandbox(SandboxConfig(duration_min_s=2.5, duration_max_s=2.5)) as live:
        begin_in_flight(tmp_path, web, live)
        (tmp_path / "r" / "manifest-copy.csv").write_text("id,promt\na,a lake\n")
        fault(web)
        words = ["run", web.address(), "--run-dir", "r", "--model", MODEL]
        done = batchgen(tmp_path, *words, **api(live))
    assert done.returncode == code, done.stderr
    assert "jobs in flight were not collected: " in done.stderr


def test_a_missing_token_is_worse_than_a_missing_sheet(tmp_path: Path, web: Web) -> None:
    """It keeps its exit code, and the message has both reasons."""
    with live_sandbox(SandboxConfig(duration_min_s=2.5, duration_max_s=2.5)) as live:
        begin_in_flight(tmp_path, web, live)
        web.status = 503
        words = ["run", web.address(), "--run-dir", "r", "--model", MODEL]
        done = batchgen(tmp_path, *words, **api(live) | {"RUNCOMFY_TOKEN": ""})
    assert done.returncode == 77
    assert "the server answered 503; jobs in flight were not collected" in done.stderr
    assert "no token" in done.stderr


def test_a_bad_command_line_repeats_no_secret(tmp_path: Path) -> None:
    """Also if the address is in a place where none belongs."""
    done = batchgen(tmp_path, "run", "m.csv", f"https://u:{SECRET}@example.com/m?key={SECRET}")
    assert (done.returncode, SECRET in done.stderr) == (64, False)
    assert "https://example.com/m" in done.stderr


def test_the_newest_copy_counts(tmp_path: Path) -> None:
    """A crash between writing a copy and removing one in another format leaves both."""
    directory = RunDirectory(tmp_path)
    for moment, name in enumerate(("csv", "yaml", "tsv"), 1):
        directory.manifest_copy(name).write_text("x")
        os.utime(directory.manifest_copy(name), (moment, moment))
    found = kept_manifest(directory)
    assert found is not None
    assert found.format == "tsv"
