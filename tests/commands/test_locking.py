"""`--if-locked`: what a command does where another one is at work. Real processes, real signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

import pytest

from batchgen.cli import main
from batchgen.core.run_limits import IfLocked, LockedAction, parse_if_locked
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.holding import held
from tests.kit.live import accepted, batchgen, live_sandbox, prompts, start, write_csv

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A batch that was begun, so that there is a lock to hold."""
    manifest = prompts(tmp_path / "m.csv", 2)
    run_dir = tmp_path / "m.run"
    run_dir.mkdir()
    (run_dir / "run.json").write_text(json.dumps({"model": MODEL}))
    return manifest


def said_until(stream: IO[str] | None, words: str) -> str:
    """What a process says, up to the line with these words."""
    assert stream is not None
    said = ""
    for line in stream:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and the rest of what was said."""
    err = process.communicate(timeout=20)[1]
    return process.returncode, err


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("fail", IfLocked()),
        ("skip", IfLocked(action=LockedAction.SKIP)),
        ("skip=0", IfLocked(action=LockedAction.SKIP, skip_code=0)),
        ("wait=10m", IfLocked(action=LockedAction.WAIT, wait_s=600.0)),
        ("wait=1h30m", IfLocked(action=LockedAction.WAIT, wait_s=5400.0)),
    ],
)
def test_the_words_of_the_flag(text: str, meant: IfLocked) -> None:
    """Each says one thing."""
    assert parse_if_locked(text) == meant


@pytest.mark.parametrize("text", ["", "wait", "wait=", "wait=soon", "skip=1", "fail=3", "steal"])
def test_other_words_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what would be right."""
    assert main(["run", "m.csv", f"--if-locked={text}"]) == 64

    assert "--if-locked" in capsys.readouterr().err


def test_a_second_run_is_refused_at_once_unless_it_was_told_otherwise(
    manifest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """fail and skip: 75; skip=0: a success, and silent with --quiet. --json has the reason."""
    monkeypatch.setenv("RUNCOMFY_TOKEN", "test-token")
    manifest.write_text("id,prompt\na,one\na,two\n")  # wrong, and nobody gets to read it
    seen = {}
    with held(manifest.with_name("m.run")) as holder:
        for words in (
            "", "--if-locked=fail --json", "--if-locked=skip", "--if-locked=skip --json --quiet",
            "--if-locked=skip=0", "--if-locked=skip=0 --quiet",
        ):  # fmt: skip
            code = main(["run", str(manifest), *words.split()])
            seen[words] = (code, *capsys.readouterr())

    code, out, err = seen[""]
    assert (code, out) == (75, "")
    assert f"in use by process {holder.pid} on {socket.gethostname()} (this host)" in err
    assert "skipped" not in err

    code, out, err = seen["--if-locked=fail --json"]
    assert code == 75
    found = json.loads(out)
    assert (found["exit_code"], found["reasons"]) == (75, ["run directory in use"])
    assert f"in use by process {holder.pid}" in found["problems"][0]["message"]

    code, out, err = seen["--if-locked=skip"]
    assert (code, out) == (75, "")
    assert "skipped, nothing was done" in err
    assert str(holder.pid) in err

    code, out, err = seen["--if-locked=skip --json --quiet"]
    assert json.loads(out) == {"exit_code": 75, "reasons": ["skipped", "run directory in use"]}
    assert "skipped" in err, "a night that was not run is a problem"

    code, out, err = seen["--if-locked=skip=0"]
    assert (code, out) == (0, "")
    assert "skipped" in err
    assert seen["--if-locked=skip=0 --quiet"] == (0, "", "")


def test_a_run_that_waited_reads_everything_anew(manifest: Path) -> None:
    """It says once for whom it waits; rows that were edited meanwhile are those that are run."""
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        with held(manifest.with_name("m.run")) as holder:
            run = start("run", manifest, "--if-locked", "wait=1m", sandbox=sandbox)
            said = said_until(run.stderr, "waiting")
            write_csv(manifest, ["j0001,prompt number 1", "late,a row that came later"])
        code, rest = ended(run)
        paid = accepted(sandbox)

    assert code == 0, rest
    assert f"in use by process {holder.pid} on {socket.gethostname()} (this host)" in said
    assert "waiting up to 1 min" in said
    assert "waiting" not in rest
    assert set(paid) == {"prompt number 1", "a row that came later"}


@pytest.mark.slow
def test_two_that_begin_together_take_turns(tmp_path: Path) -> None:
    """In a directory that neither of them found: each row is paid for once, and both succeed."""
    manifest = prompts(tmp_path / "m.csv", 4)
    words = ("run", manifest, "--if-locked", "wait=1m")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        both = [start(*words, sandbox=sandbox), start(*words, sandbox=sandbox)]
        codes = [ended(process) for process in both]
        paid = accepted(sandbox)

    assert [code for code, _ in codes] == [0, 0], codes
    assert sorted(paid.values()) == [1, 1, 1, 1]


def test_a_wait_in_vain_names_the_holder(
    manifest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """75 after the time that was given, for run, resolve and cancel alike."""
    monkeypatch.setenv("RUNCOMFY_TOKEN", "test-token")
    run_dir = manifest.with_name("m.run")
    (run_dir / "ledger.jsonl").write_text("")
    with held(run_dir) as holder:
        for words in (["run"], ["resolve", "--job", "j0000", "--give-up"], ["cancel"]):
            assert main([words[0], str(manifest), *words[1:], "--if-locked", "wait=300ms"]) == 75
            err = capsys.readouterr().err
            assert "waiting up to 300 ms" in err
            assert "(waited 300 ms)" in err
            assert err.count(f"process {holder.pid}") == 2


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "hung up"),
    ],
)
def test_a_signal_ends_the_wait_at_once(
    manifest: Path, number: signal.Signals, code: int, reason: str
) -> None:
    """With the code of the signal; nothing was sent, and the holder never noticed."""
    with held(manifest.with_name("m.run")):
        run = start(
            "run", manifest, "--if-locked", "wait=10m", "--json", RUNCOMFY_TOKEN="test-token"
        )
        said_until(run.stderr, "waiting")
        run.send_signal(number)
        out, err = run.communicate(timeout=20)

    assert run.returncode == code
    found = json.loads(out)
    assert (found["exit_code"], found["reasons"]) == (code, [reason])
    assert "nothing was done" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_word_waits_for_its_turn(tmp_path: Path) -> None:
    """`resolve` while a run is at work, and what the run wrote meanwhile is what it speaks of."""
    manifest = prompts(tmp_path / "m.csv", 1)
    config = SandboxConfig(faults=("result:failed",), duration_min_s=1.0, duration_max_s=1.0)

    with live_sandbox(config) as sandbox:
        run = start("run", manifest, "--max-attempts", "1", sandbox=sandbox)
        while not sandbox.audit.requests:
            pass
        words = ("--job", "j0000", "--give-up", "--if-locked", "wait=1m")
        done = batchgen("resolve", manifest, *words)
        code, _ = ended(run)

    assert code == 1
    assert done.code == 0, done.err
    assert "waiting" in done.err
    assert "is failed: it no longer counts" in done.out


def test_to_skip_is_for_runs_only(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is skipped is a word that was not heard."""
    assert main(["cancel", str(manifest), "--if-locked", "skip"]) == 64

    assert "fail or wait=DURATION" in capsys.readouterr().err
