"""`doctor`: its exit code is that of the run it looks at; it leaves nothing and tells no secret."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app.command_context import CommandContext
from batchgen.cli import main
from batchgen.core.api_base import parse_base_url
from batchgen.core.model_entry import ModelEntry
from batchgen.doctor import disk_checks
from batchgen.doctor.api_checks import check_api
from batchgen.doctor.disk_checks import check_disk
from batchgen.doctor.examination import examined
from batchgen.doctor.finding import Finding, Level, ok
from batchgen.doctor.machine_checks import _is_older, surroundings, versions
from batchgen.ledger.lock import RunLock
from batchgen.models.cache import CatalogueCache
from batchgen.sandbox import SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.disks import fill, remount, small_disk
from tests.kit.live import Done, Live, accepted, environment, live_sandbox, prompts, write_csv


def batchgen(*words: str, sandbox: Live | None = None, **more: str) -> Done:
    """Run one command to its end, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(sandbox, **more), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(words)
    return Done(code, out.getvalue(), err.getvalue())


@dataclass
class Case:
    """One batch on one machine, on which `doctor` and then `run` are tried."""

    directory: Path
    live: Live
    stack: ExitStack
    manifest: Path = field(init=False)
    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.manifest = prompts(self.directory / "m.csv", 2)

    def batchgen(self, command: str, *more: str) -> Done:
        words = [command, str(self.manifest), "--model", MODEL, *self.words, *more]
        return batchgen(*words, sandbox=self.live, **self.environment)

    def run(self) -> Done:
        return self.batchgen("run", "--wait-for-api", "1s")


def wrong_rows(case: Case) -> None:
    write_csv(case.manifest, ["a,x,1.5", "b,,1", "c,y,2"], header="id,prompt,scale")


def no_manifest(case: Case) -> None:
    case.manifest.unlink()


def wrong_yaml(case: Case) -> None:
    case.manifest = case.directory / "m.yaml"
    case.manifest.write_text("prompts: [a, b\n")


def no_token(case: Case) -> None:
    case.environment["RUNCOMFY_TOKEN"] = ""


def half_a_token(case: Case) -> None:
    case.environment["RUNCOMFY_TOKEN"] = "two words"


def wrong_token(case: Case) -> None:
    case.environment["RUNCOMFY_TOKEN"] = "not-the-token-of-the-sandbox"


def nobody_there(case: Case) -> None:
    case.environment["RUNCOMFY_MODEL_API_BASE"] = "http://127.0.0.1:9/v1"


def wrong_address(case: Case) -> None:
    case.environment["RUNCOMFY_MODEL_API_BASE"] = "http://api.example/v1"


def locked(case: Case) -> None:
    assert case.run().code == 0
    prompts(case.manifest, 3)
    case.stack.enter_context(RunLock.acquire(case.directory / "m.run", now_s=1.8e9))


def damaged(case: Case) -> None:
    assert case.run().code == 0
    ledger = case.directory / "m.run" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"job":"j0001"', '"job":', 1))


def of_another_api(case: Case) -> None:
    assert case.run().code == 0
    case.environment["RUNCOMFY_MODEL_API_BASE"] = "https://api.example/v1"


def moved_away(case: Case) -> None:
    assert case.run().code == 0
    (case.directory / "m.run").rename(case.directory / "elsewhere.run")


def in_shards(case: Case) -> None:
    assert case.batchgen("run", "--shard", "1/2").code == 0


def a_file_in_the_way(case: Case) -> None:
    (case.directory / "file").write_text("x")
    case.words = ["--run-dir", str(case.directory / "file" / "m.run")]


def full_disk(case: Case) -> None:
    disk = case.stack.enter_context(small_disk(case.directory / "disk", "1m"))
    fill(disk)
    case.words = ["--run-dir", str(disk / "m.run")]


def read_only_disk(case: Case) -> None:
    disk = case.stack.enter_context(small_disk(case.directory / "disk", "4m"))
    remount(disk, "ro")
    case.words = ["--run-dir", str(disk / "m.run")]


def finished_and_no_token(case: Case) -> None:
    assert case.run().code == 0
    case.environment["RUNCOMFY_TOKEN"] = ""


def finished_and_offline(case: Case) -> None:
    assert case.run().code == 0
    case.environment["RUNCOMFY_MODEL_API_BASE"] = "http://127.0.0.1:9/v1"


def two_faults(case: Case) -> None:
    wrong_rows(case)
    no_token(case)


def nothing_wrong(case: Case) -> None:
    """All is well."""


FAULTS: dict[Callable[[Case], None], tuple[int, set[str]]] = {
    wrong_rows: (65, {"manifest"}),
    no_manifest: (66, {"manifest"}),
    wrong_yaml: (65, {"manifest"}),
    no_token: (77, {"token"}),
    half_a_token: (77, {"token"}),
    wrong_token: (77, {"token"}),
    nobody_there: (69, {"API"}),
    wrong_address: (64, {"API"}),
    locked: (75, {"lock"}),
    damaged: (65, {"ledger"}),
    of_another_api: (65, {"ledger"}),
    moved_away: (65, {"run directory"}),
    in_shards: (65, {"run directory"}),
    a_file_in_the_way: (74, {"disk"}),
    full_disk: (74, {"disk"}),
    read_only_disk: (74, {"disk"}),
    finished_and_no_token: (0, set()),
    finished_and_offline: (0, set()),
    two_faults: (65, {"manifest", "token"}),
    nothing_wrong: (0, set()),
}
"""What is done to a batch, the exit code of its run, and the checks in which faults are found."""


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    directory = tmp_path / "work"
    directory.mkdir()
    config = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05)
    with live_sandbox(config) as live, ExitStack() as stack:
        yield Case(directory, live, stack)


def everything_below(*places: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file and directory."""
    found = {}
    for place in places:
        for path in (place, *place.rglob("*")):
            facts = path.lstat()
            found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_the_exit_code_is_that_of_the_run(spoil: Callable[[Case], None], case: Case) -> None:
    """And every fault is named, with what to do; nothing is sent that costs, nothing is left."""
    code, checks = FAULTS[spoil]
    spoil(case)
    home = Path(os.environ["HOME"])
    before, paid = everything_below(case.directory, home), accepted(case.live)

    done = case.batchgen("doctor", "--json")

    assert everything_below(case.directory, home) == before
    assert accepted(case.live) == paid
    found = json.loads(done.out)
    faults = [one for one in found["findings"] if one["level"] == "fault"]
    assert {one["check"] for one in faults} == checks
    assert all(one["text"] and (one["advice"] or ":" in one["text"]) for one in faults)
    assert (done.code, found["exit_code"], bool(found["reasons"])) == (code, code, bool(code))
    assert case.live.token not in done.out + done.err
    assert case.run().code == code
    assert (
        case.batchgen("doctor")
        .out.splitlines()[-1]
        .endswith(f"exit code {code}" if code else "a run could begin")
    )


def test_every_problem_of_a_manifest_is_a_finding(case: Case) -> None:
    """As `check` lists them."""
    wrong_rows(case)

    findings = json.loads(case.batchgen("doctor", "--json").out)["findings"]

    texts = [one["text"] for one in findings if one["level"] == "fault"]
    places = [text.removeprefix(str(case.manifest))[:3] for text in texts]
    assert places == [":2:", ":3:", ":4:"]


def test_without_a_manifest_the_machine_is_examined(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token, API and disk of the present directory."""
    monkeypatch.chdir(case.directory)
    done = batchgen("doctor", sandbox=case.live)
    alone = batchgen("doctor", RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9")

    assert (done.code, alone.code) == (0, 77)
    assert "the API accepts the token from RUNCOMFY_TOKEN" in done.out
    assert "no token" in alone.out
    assert "could not be reached" in alone.out


def test_an_env_file_is_read_as_a_run_reads_it(case: Case) -> None:
    """It may have token and address."""
    file = case.directory / "night.env"
    file.write_text(
        f"RUNCOMFY_TOKEN={case.live.token}\nRUNCOMFY_MODEL_API_BASE={case.live.base_url}\n"
    )

    done = batchgen("doctor", str(case.manifest), "--model", MODEL, "--env-file", str(file))

    assert done.code == 0, done.out
    assert case.live.token not in done.out


class ShiftedClock(SystemClock):
    """A clock that is wrong."""

    def __init__(self, by_s: float) -> None:
        super().__init__()
        self.by_s = by_s

    def now_s(self) -> float:
        return super().now_s() + self.by_s


def context_of(live: Live, by_s: float = 0.0, **more: Any) -> CommandContext:
    return CommandContext(clock=ShiftedClock(by_s), environment=environment(live), **more)


@pytest.mark.parametrize(("by_s", "text"), [(0.0, "agrees"), (600.5, "10 min"), (-7200.5, "2 h")])
def test_the_clock_is_compared_with_that_of_the_api(case: Case, by_s: float, text: str) -> None:
    """By the header of a free answer; a run could begin all the same."""
    clock = next(one for one in check_api(context_of(case.live, by_s)) if one.check == "clock")

    assert text in clock.text
    assert clock.level is (Level.WARNING if by_s else Level.OK)


def test_an_api_that_is_out_of_order_proves_nothing_about_the_token() -> None:
    """It is a warning to try again."""
    with live_sandbox(SandboxConfig(faults=("catalogue:503",))) as live:
        token = next(one for one in check_api(context_of(live)) if one.check == "token")

    assert token.level is Level.WARNING
    assert "503" in token.text


def test_a_private_address_of_the_storage_host_is_a_fault(case: Case) -> None:
    """As a run refuses it; a lookup that fails is a warning."""

    def found(answer: Any) -> Finding:
        async def addresses_of(_: CommandContext, host: str) -> tuple[str, ...]:
            if isinstance(answer, Exception):
                raise answer
            return (answer,)

        context = dataclasses.replace(context_of(case.live), environment={
            "RUNCOMFY_TOKEN": case.live.token, "RUNCOMFY_MODEL_API_BASE": "https://127.0.0.2:9"
        })  # fmt: skip
        base = dataclasses.replace(parse_base_url("https://127.0.0.2:9"), host="api.example")
        with (
            patch.object(CommandContext, "addresses_of", addresses_of),
            patch.object(CommandContext, "api", base),
        ):
            return next(one for one in check_api(context) if one.check == "storage host")

    assert (found("10.0.0.5").level, found("10.0.0.5").exit_code) == (Level.FAULT, 69)
    assert found(OSError("no such name")).level is Level.WARNING


@pytest.mark.parametrize(
    ("mounts", "level", "word"),
    [
        ("1 0 0:1 / / rw - ext4 /dev/a rw", Level.OK, "free"),
        ("1 0 0:1 / / rw - nfs4 server:/x rw", Level.WARNING, "network disk (nfs4)"),
        ("1 0 0:1 / / rw - fuse.sshfs x rw", Level.WARNING, "network disk (fuse.sshfs)"),
        ("1 0 0:1 / / rw - tmpfs tmpfs rw", Level.WARNING, "in memory"),
        ("1 0 0:1 / / rw - overlay overlay rw", Level.NOTE, "inside of a container"),
    ],
)
def test_the_kind_of_a_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, level: Level, word: str
) -> None:
    """Network, memory and containers each have their own risk."""
    (tmp_path / "mounts").write_text(mounts + "\n")
    monkeypatch.setattr(disk_checks, "MOUNTS", tmp_path / "mounts")

    found = [
        one for one in check_disk("disk", tmp_path / "m.run", SystemClock()) if word in one.text
    ]

    assert [one.level for one in found] == [level]


def test_a_disk_that_should_be_mounted_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run directory would begin again on the disk below."""
    (tmp_path / "mounts").write_text("1 0 0:1 / / rw - ext4 /dev/a rw\n")
    (tmp_path / "fstab").write_text(f"# a\n/dev/b {tmp_path}/my\\040disk ext4 defaults 0 2\n")
    monkeypatch.setattr(disk_checks, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(disk_checks, "KNOWN_MOUNTS", tmp_path / "fstab")

    there = check_disk("disk", tmp_path / "my disk" / "m.run", SystemClock())
    elsewhere = check_disk("disk", tmp_path / "other" / "m.run", SystemClock())

    assert any("is not mounted" in one.text for one in there)
    assert not any("is not mounted" in one.text for one in elsewhere)


def test_a_slow_disk_is_a_warning(tmp_path: Path) -> None:
    """Every submission waits for an fsync."""

    class SlowClock(SystemClock):
        passed_s = 0.0

        def monotonic_s(self) -> float:
            self.passed_s += 0.5
            return self.passed_s

    found = list(check_disk("disk", tmp_path, SlowClock()))

    assert any(one.level is Level.WARNING and "500 ms" in one.text for one in found)


def test_the_age_of_the_cached_schemas_is_told(case: Case, tmp_path: Path) -> None:
    """Old ones are asked for again by the next run."""
    variables = {
        "RUNCOMFY_TOKEN": "test-token", "RUNCOMFY_MODEL_API_BASE": "https://api.example/v1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    context = CommandContext(clock=ShiftedClock(-3 * 86400), environment=variables)
    CatalogueCache(context.cache_dir, context.api, context.clock).put(ModelEntry(model_id="a/b"))

    done = batchgen("doctor", str(case.manifest), "--sandbox", "--model", MODEL, **variables)

    assert "1 model, up to 3 days old" in done.out


def test_what_cron_would_lack_is_told() -> None:
    """A token in this shell's environment, further variables; and a home."""
    found = list(
        surroundings({"RUNCOMFY_TOKEN": "secret-token", "BATCHGEN_PING": "https://p.example"}, 0.0)
    )

    texts = [one.text for one in found]
    assert any("RUNCOMFY_TOKEN of this shell" in text for text in texts)
    assert any("BATCHGEN_PING" in text for text in texts)
    assert any("neither HOME" in text for text in texts)
    assert "secret-token" not in " ".join(texts)
    assert "p.example" not in " ".join(texts)


def test_versions_are_told_and_compared() -> None:
    """Libraries with their versions; what is older than the oldest that works is a warning."""
    found = list(versions())

    assert all(one.level in (Level.OK, Level.NOTE) for one in found), found
    assert any("aiohttp" in one.text for one in found)
    assert {"notify", "ray", "stores"} == {
        one.text.partition(":")[0] for one in found if one.check == "extras"
    }
    assert _is_older("3.9.5", "3.10")
    assert _is_older("3", "3.0.1")
    assert not _is_older("3.10", "3.10.0")
    assert not _is_older("4.0rc1", "3.99")
    with patch("batchgen.doctor.machine_checks.version", lambda _: "0.0.1"):
        old = [one for one in versions() if one.level is Level.WARNING]
    assert any("aiohttp 0.0.1 is older than 3.10" in one.text for one in old)


def test_a_defect_ends_the_examination_with_what_was_found() -> None:
    """It is a fault of this program, with exit code 70."""

    def checks() -> Iterator[Finding]:
        yield ok("one", "fine")
        raise ValueError("secret text")

    first, last = examined(checks())

    assert first.text == "fine"
    assert (last.level, last.exit_code) == (Level.FAULT, 70)
    assert "secret text" not in last.text


def test_a_run_directory_without_its_manifest_is_looked_at_too(case: Case) -> None:
    """The manifest is the fault; the ledger is read all the same."""
    assert case.run().code == 0
    case.manifest.unlink()

    done = case.batchgen("doctor")

    assert done.code == 66
    assert "2 jobs on record" in done.out
    shutil.rmtree(case.directory / "m.run")


@pytest.fixture
def company_proxy(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on this machine whose certificate nobody trusts; its address and certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=company", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"error_code": 400004, "error_message": "bad token"}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/v1", certificate
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_that_is_not_trusted_is_named(
    company_proxy: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable that makes it trusted; which then is enough. A proxy is named, too."""
    address, certificate = company_proxy
    variables = {
        "RUNCOMFY_MODEL_API_BASE": address, "RUNCOMFY_TOKEN": "test-token",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }  # fmt: skip

    untrusted = batchgen("doctor", "--json", **variables)
    script = "from batchgen.cli import console; console()"
    trusted = subprocess.run(
        [sys.executable, "-c", script, "doctor", "--json"], capture_output=True, text=True,
        env={**environment(), **variables, "SSL_CERT_FILE": str(certificate)}, check=False,
    )  # fmt: skip

    text = " ".join(one["text"] for one in json.loads(untrusted.out)["findings"])
    assert untrusted.code == 69
    assert "certificate" in text
    assert "SSL_CERT_FILE" in text
    assert "HTTPS_PROXY is set, but batchgen uses no proxy" in text
    found = {one["check"]: one for one in json.loads(trusted.stdout)["findings"]}
    assert found["API"]["level"] == "ok"
    assert found["token"]["level"] == "fault"
    assert trusted.returncode == 77
