"""Readers beside a writer: status, report, jq and `status --watch` while real runs write."""

from __future__ import annotations

import json
import os
import pty
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.cli import main
from batchgen.commands.status import StatusWatcher
from batchgen.core.events import JobError, OutputFile
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.summary import LiveSummary, Summary
from batchgen.ledger.record_index import RecordIndex
from batchgen.manifest.row_options import RowOptions
from batchgen.reports.watch_view import PlainLines, WatchFrame
from batchgen.sandbox import SandboxConfig
from batchgen.system.run_directory import RunDirectory
from tests.kit import MODEL
from tests.kit.ledger_view import states
from tests.kit.live import (
    batchgen,
    command,
    environment,
    live_sandbox,
    prompts,
    start,
)
from tests.kit.totals import summarise
from tests.kit.waiting import wait_until

TS = "2026-11-22T02:00:01.123Z"


def watched_lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Every line of a watch with --json, to its end."""
    out, err = process.communicate(timeout=60)
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def never_goes_back(numbers: list[float]) -> bool:
    """What was counted once stays counted."""
    return numbers == sorted(numbers)


@pytest.mark.slow
def test_readers_beside_runs_that_are_killed_and_resumed(tmp_path: Path) -> None:
    """None of them ever fails, sees half a line or a number that goes back, or is in the way.

    The watch begins before the first run, outlives its kill, and ends with the second run.
    """
    manifest = prompts(tmp_path / "m.csv", 30)
    ledger = tmp_path / "m.run/ledger.jsonl"
    config = SandboxConfig(duration_min_s=0.2, duration_max_s=0.6)
    seen: list[dict[str, Any]] = []

    with live_sandbox(config) as sandbox:
        watch = start("status", manifest, "--watch", "0.1", "--json")
        run = start("run", manifest, "--concurrency", "8", sandbox=sandbox)
        wait_until(lambda: "downloaded" in states(ledger.parent).values(), "a download", alive=run)
        run.kill()
        run.communicate()
        run = start("run", manifest, "--concurrency", "4", sandbox=sandbox)
        reports = 0
        while run.poll() is None:
            look_with_jq(ledger)
            done = batchgen("status", manifest, "--json")
            assert done.code == 0, done.err
            seen.append(json.loads(done.out))
            reports += batchgen("report", manifest).code == 0
        _, err = run.communicate()
        lines = watched_lines(watch)

    assert run.returncode in (0, 1), err
    assert reports == len(seen) >= 2
    begun = list(dropwhile(lambda line: not line["jobs"], lines))  # before the run said its model
    for found in (seen, begun):
        assert {one["jobs"] for one in found} == {30}
        assert never_goes_back([one["states"]["downloaded"] for one in found])
        assert never_goes_back([one["cost_usd"] for one in found])
    pids = [line["at_work"]["pid"] for line in lines if line["at_work"]]
    assert run.pid in pids
    assert [line["over"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["exit_code"] == watch.returncode == run.returncode
    assert lines[-1]["states"] == json.loads(batchgen("status", manifest, "--json").out)["states"]


def look_with_jq(ledger: Path) -> None:
    """As anybody looks who knows no better tool; each line is whole JSON."""
    if shutil.which("jq"):
        subprocess.run(["jq", "-c", ".state", ledger], check=True, capture_output=True)


@pytest.mark.slow
def test_in_a_log_a_watch_is_plain_and_short(tmp_path: Path) -> None:
    """No control codes; a line when a run comes, and the whole state when it has gone."""
    manifest = prompts(tmp_path / "m.csv", 6)

    with live_sandbox(SandboxConfig(duration_min_s=0.5, duration_max_s=0.5)) as sandbox:
        watch = start("status", manifest, "--watch", "100ms", "--model", MODEL, TERM="xterm")
        assert watch.stdout is not None
        first = watch.stdout.readline()
        run = start("run", manifest, sandbox=sandbox)
        run.communicate()
        out, err = watch.communicate()

    assert (watch.returncode, err) == (0, "")
    assert "6 jobs: 6 pending" in first
    assert not set(out) & {"\r", "\x1b"}
    assert f"at work: process {run.pid} on {socket.gethostname()} (this host), since " in out
    assert "6 jobs: 6 downloaded" in out
    assert out.rstrip().endswith("nothing is left to do, every job ended well")
    assert len(out.splitlines()) <= 8


def test_on_a_terminal_a_watch_ends_with_ctrl_c_and_leaves_no_trace(tmp_path: Path) -> None:
    """Drawn over and over on the second screen, at any size; afterwards all is as it was."""
    manifest = prompts(tmp_path / "m.csv", 3)
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run/run.json").write_text(json.dumps({"model": MODEL}))
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)

    termios.tcsetwinsize(slave, (4, 20))
    watch = subprocess.Popen(
        command("status", manifest, "--watch", "60"), env=environment(TERM="xterm"),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    first = b"".join(_read_until(master, b"\x1b[J"))
    termios.tcsetwinsize(slave, (30, 100))
    watch.send_signal(signal.SIGWINCH)
    second = b"".join(_read_until(master, b"\x1b[J"))
    watch.send_signal(signal.SIGINT)
    rest = b"".join(_read_until(master, b"no run is at work\r\n"))

    assert watch.wait(10) == 0
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)
    assert first.startswith(b"\x1b[?1049h")
    assert first.count(b"\r\n") == 2, "no line more than the terminal has"
    assert b"3 jobs: 3 pending" in second
    assert b"\x1b[?1049h" not in second
    assert rest.startswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")
    assert b"3 jobs: 3 pending" in rest


def _read_until(master: int, end: bytes) -> Iterator[bytes]:
    seen = b""
    while end not in seen and select.select([master], [], [], 20)[0]:
        block = os.read(master, 65536)
        seen += block
        yield block
    assert end in seen, seen


@pytest.mark.parametrize("seconds", ["0", "soon", "1e9"])
def test_a_period_makes_sense(seconds: str) -> None:
    """Not zero, which would be a busy loop."""
    assert main(["status", "m.csv", "--watch", seconds]) == 64


def test_a_watch_does_not_wait_for_ever_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it looks seldom: it ends with what is left, as a run that stopped early would."""
    manifest = prompts(tmp_path / "m.csv", 2)
    monkeypatch.setattr("batchgen.commands.status.IDLE_S", 0.05)

    assert main(["status", str(manifest), "--model", MODEL, "--watch", "60"]) == 75

    assert capsys.readouterr().out.endswith("no run is at work; 2 jobs left for the next one\n")


def test_a_log_gets_a_line_a_minute_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    """However fast the numbers change; the last state is said whenever it comes."""
    summary, lines = Summary(), PlainLines(sys.stdout)
    holder = {"pid": 1, "host": "farm2"}
    for second in range(121):
        summary.states[JobState.DOWNLOADED] += 1
        sight = WatchFrame(
            run_dir=Path("m.run"), summary=replace(summary, states=summary.states.copy()),
            eta_s=None, holder=holder,
            holder_text="at work",
            now_s=1e9 + second, left=1, code=75, is_settled=False,
        )  # fmt: skip
        lines.show(sight)
    counts = [line for line in capsys.readouterr().out.splitlines() if "downloaded" in line]
    lines.show(replace(sight, holder=None, over=True))

    assert [line.split()[-2] for line in counts] == ["1", "61", "121"]
    assert "121 downloaded" in capsys.readouterr().out


# Watching without a process.


def ledger_of(run_dir: Path, *records: JobRecord) -> Path:
    """A ledger with these lines."""
    run_dir.mkdir(exist_ok=True)
    header = encode_header(api="https://x.example", created=TS)
    path = RunDirectory(run_dir).ledger
    path.write_bytes(header + b"".join(encode(record) for record in records))
    return path


def a_record(job: str, state: JobState = JobState.DOWNLOADED, **more: Any) -> JobRecord:
    """One line."""
    return JobRecord(ts=TS, job=job, state=state, **more)


def target(tmp_path: Path) -> BatchRef:
    """A batch whose manifest is gone."""
    return BatchRef(
        manifest=str(tmp_path / "gone.csv"), row_options=RowOptions(), run_dir=tmp_path / "run"
    )


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a large ledger costs what was written since the last one, and a torn tail waits."""
    path = ledger_of(tmp_path / "run", *(a_record(f"j{n}") for n in range(20_000)))
    read_bytes = 0
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal read_bytes
        block = pread(fd, size, offset)
        read_bytes += len(block)
        return block

    with StatusWatcher(target(tmp_path), CommandContext()) as watch:
        watch.read()
        monkeypatch.setattr(os, "pread", counted)
        line = encode(a_record("new", JobState.IN_QUEUE))
        with path.open("ab") as file:
            for part, states in ((line[:30], 0), (line[30:], 1)):
                file.write(part)
                file.flush()
                assert watch.read().summary.states[JobState.IN_QUEUE] == states

    assert read_bytes < 2000


def test_a_ledger_that_was_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    """As compaction does it: what the old file said counts no longer, and nothing counts twice."""
    old = [a_record("a", JobState.IN_QUEUE), a_record("a"), a_record("b", JobState.IN_QUEUE)]
    path = ledger_of(tmp_path / "run", *old)
    with StatusWatcher(target(tmp_path), CommandContext()) as watch:
        assert watch.read().summary.jobs == 2
        new = ledger_of(tmp_path / "new", a_record("a"), a_record("b", JobState.IN_QUEUE))
        new.replace(path)
        with path.open("ab") as file:
            file.write(encode(a_record("b")))

        assert dict(watch.read().summary.states) == {JobState.DOWNLOADED: 2}


def test_a_watch_may_begin_before_there_is_a_ledger(tmp_path: Path) -> None:
    """The rows are pending; what a first run writes is seen from its first line."""
    manifest = prompts(tmp_path / "m.csv", 2)
    with StatusWatcher(
        BatchRef(manifest=str(manifest), row_options=RowOptions(model=MODEL)), CommandContext()
    ) as watch:
        first = watch.read()
        ledger_of(tmp_path / "m.run", a_record("j0001"), a_record("no such row"))
        second = watch.read()

    assert (first.left, first.is_settled) == (2, False)
    assert second.summary.states == {JobState.PENDING: 1, JobState.DOWNLOADED: 2}


GENERATION = JobError(kind="generation", message="out of memory")


@pytest.mark.parametrize(
    ("record", "run", "code"),
    [
        (a_record("j0000", JobState.FAILED, error=GENERATION), "", 75),
        (a_record("j0000", JobState.FAILED, error=GENERATION), "max_attempts: 1", 1),
        (a_record("j0000", JobState.FAILED, granted=True, cost_usd=0.1), "", 75),
        (a_record("j0000", JobState.FAILED, given_up=True), "", 0),
        (a_record("j0000", JobState.CANCELLED, given_up=True), "", 0),
        (a_record("j0000", JobState.CANCELLED), "", 1),
        (a_record("j0000", JobState.UNKNOWN, given_up=True), "", 1),
        (a_record("j0000", JobState.DOWNLOADED, fingerprint="of before an edit"), "", 75),
        (a_record("j0000", JobState.DOWNLOADED, fingerprint="edited"), "changed: keep", 0),
        (a_record("j0000", JobState.COMPLETED), "", 75),
        (a_record("j0000", JobState.COMPLETED), "no_download: true", 0),
        (a_record("j0000", JobState.IN_DOUBT), "", 1),
        (a_record("j0000", JobState.IN_DOUBT), "in_doubt: resubmit", 75),
        (a_record("its row is gone", JobState.IN_QUEUE), "", 75),
        (a_record("its row is gone", JobState.FAILED), "", 0),
    ],
)  # fmt: skip
def test_a_watch_ends_with_the_exit_code_of_the_run(
    tmp_path: Path, record: JobRecord, run: str, code: int
) -> None:
    """Decided by what a run would do with each job, by the same rule and the same policy."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(f"model: {MODEL}\nprompts: [{{id: j0000, prompt: a}}]\nrun: {{{run}}}\n")
    ledger_of(tmp_path / "m.run", a_record("j0000"), record)

    with StatusWatcher(
        BatchRef(manifest=str(manifest), row_options=RowOptions()), CommandContext()
    ) as watch:
        seen = watch.read()

    assert (seen.code, seen.left > 0) == (code, code == 75)


def test_the_totals_are_those_of_a_whole_reading() -> None:
    """Kept up line by line, through failures, further attempts and adoptions alike."""
    rng = random.Random(20261122)
    memory, live = RecordIndex(), LiveSummary(None)
    for _ in range(3000):
        name = f"j{rng.randrange(50)}"
        error = JobError(kind="generation", message=f"m{rng.randrange(3)}")
        record = a_record(
            name, rng.choice(list(JobState)), fingerprint="f", cost_usd=rng.choice((None, 0.5)),
            files=(OutputFile(path="x", bytes=7, sha256=""),) * rng.randrange(3),
            error=rng.choice((None, error)), finished_at=rng.choice((None, TS)),
            adopted_by=rng.choice((None,) * 9 + ("other",)),
        )  # fmt: skip
        memory.add_unwritten(record)
        live.take(record)
        assert live.summary == summarise(memory.records())


def test_watching_costs_nothing_at_the_start_of_other_commands() -> None:
    """Its modules are loaded by `status --watch` only."""
    program = (
        "import sys, batchgen.commands.status; print([m for m in sys.modules if 'watching' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
