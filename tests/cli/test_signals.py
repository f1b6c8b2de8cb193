"""SIGINT, SIGTERM and SIGHUP at any moment of a command. Real processes, real signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from batchgen.system.files import remove_dead_leftovers
from tests.kit.live import (
    Live,
    accepted,
    batchgen,
    command,
    environment,
    live_sandbox,
    prompts,
    start,
)
from tests.kit.waiting import wait_until

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
WORDS = {signal.SIGHUP: "hung up", signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
every_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
MANY = 60_000


def leftovers(run_dir: Path) -> list[Path]:
    """Return the unfinished files of writers."""
    return list(run_dir.glob(".*.new"))


@pytest.fixture(scope="module")
def slow_sandbox() -> Iterator[Live]:
    """A sandbox whose jobs run for a minute."""
    with live_sandbox(SandboxConfig(duration_min_s=60.0, duration_max_s=60.0)) as sandbox:
        yield sandbox


@every_signal
def test_a_run_drains(number: signal.Signals, tmp_path: Path, slow_sandbox: Live) -> None:
    """Within 5 s, with a line that says how to resume, and no submission is forgotten."""
    manifest = prompts(tmp_path / "m.csv", 3)
    before = len(slow_sandbox.audit.requests)
    run = start("run", manifest, "--json", sandbox=slow_sandbox)
    wait_until(lambda: len(slow_sandbox.audit.requests) == before + 3, "submissions", alive=run)

    sent_at_s = time.monotonic()
    run.send_signal(number)
    out, err = run.communicate(timeout=20)

    assert time.monotonic() - sent_at_s < 5
    assert run.returncode == 128 + number, err
    assert "to resume, run: batchgen run" in err
    found = json.loads(out)
    assert (found["exit_code"], found["reasons"]) == (128 + number, [WORDS[number]])
    shown = batchgen("ledger", "show", manifest).out
    assert shown.count("in_queue") + shown.count("in_progress") == 3, shown


@every_signal
def test_a_second_signal_ends_a_run_at_once(number: signal.Signals, tmp_path: Path) -> None:
    """The ledger is valid; the submission without an answer is in doubt."""
    manifest = prompts(tmp_path / "m.csv", 1)
    with live_sandbox(SandboxConfig(faults=("submit:hang",))) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: sandbox.audit.received, "a submission on its way", alive=run)
        run.send_signal(number)
        wait_until(lambda: not _is_pending(run.pid, number), "the first signal to arrive")
        sent_at_s = time.monotonic()
        run.send_signal(number)
        _, err = run.communicate(timeout=20)
        assert time.monotonic() - sent_at_s < 2

    assert run.returncode == 128 + number, err
    assert batchgen("ledger", "verify", manifest).code == 0


def _is_pending(pid: int, number: signal.Signals) -> bool:
    """Tell whether a signal was not delivered yet."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    masks = [line.split()[1] for line in status.splitlines() if line[:6] in ("SigPnd", "ShdPnd")]
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


@every_signal
@pytest.mark.parametrize("words", [["run", "--json"], ["check", "--json"], ["status", "--json"]])
def test_a_signal_while_the_manifest_is_read(
    number: signal.Signals, words: list[str], tmp_path: Path
) -> None:
    """The command ends at once with an object that says why; nothing was begun."""
    line = command(words[0], "-", "--format", "csv", "--run-dir", tmp_path / "r", *words[1:])
    run = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(RUNCOMFY_TOKEN="test-token"),
    )  # fmt: skip
    wait_until(lambda: _handles(run.pid, signal.SIGTERM), "its handlers", alive=run)
    run.send_signal(number)
    wait_until(lambda: run.poll() is not None, "its end")
    out, err = run.communicate(timeout=20)

    assert run.returncode == 128 + number, err
    assert json.loads(out)["reasons"] == [WORDS[number]]
    assert WORDS[number] in err
    assert "Traceback" not in err
    assert not (tmp_path / "r").exists()


def _handles(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.slow
@every_signal
@pytest.mark.parametrize(
    "name", ["results.csv", pytest.param("report.html", marks=pytest.mark.slow)]
)
def test_a_signal_while_the_results_are_written(
    number: signal.Signals, name: str, tmp_path: Path
) -> None:
    """The exit code says so, and nothing unfinished stays."""
    manifest = prompts(tmp_path / "m.csv", MANY)
    run_dir = tmp_path / "m.run"
    report = start("report", manifest, "--model", "m/x")
    wait_until(lambda: list(run_dir.glob(f".{name}.*")), f"{name} to be written", alive=report)
    report.send_signal(number)
    _, err = report.communicate(timeout=20)

    assert report.returncode == 128 + number, err
    assert leftovers(run_dir) == []


@pytest.mark.slow
def test_leftovers_of_a_killed_writer_are_removed_by_the_next_run(tmp_path: Path) -> None:
    """Those of a writer that lives are not."""
    manifest = prompts(tmp_path / "m.csv", MANY)
    run_dir = tmp_path / "m.run"
    report = start("report", manifest, "--model", "m/x")
    wait_until(lambda: leftovers(run_dir), "results to be written", alive=report)
    report.kill()
    report.communicate()
    assert leftovers(run_dir)
    living = run_dir / f".results.csv.{os.getppid()}-1.new"
    living.touch()
    prompts(manifest, 1)

    with live_sandbox() as sandbox:
        assert batchgen("run", manifest, sandbox=sandbox).code == 0

    assert leftovers(run_dir) == [living]


@pytest.mark.parametrize("pid", [0, 2**22 + 1, 10**30])
def test_a_leftover_of_no_living_writer_goes(pid: int, tmp_path: Path) -> None:
    """Also one with the number that this process has now, and with one that no process can have."""
    (tmp_path / f".results.csv.{pid or os.getpid()}-1.new").touch()
    others = [tmp_path / name for name in (".new", ".a.new", "a.1-1.new", ".x.1-1.new.csv")]
    for other in others:
        other.touch()

    remove_dead_leftovers(tmp_path)
    remove_dead_leftovers(tmp_path / "missing")

    assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == sorted(others)


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    """SIGHUP that is ignored at the start stays ignored; a terminal that is gone is no error."""
    manifest = prompts(tmp_path / "m.csv", 3)
    config = SandboxConfig(duration_min_s=0.5, duration_max_s=0.5)
    with live_sandbox(config) as sandbox:
        master, slave = pty.openpty()
        run = subprocess.Popen(
            ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command("run", manifest)],
            env=environment(sandbox, TERM="xterm"), stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        wait_until(lambda: accepted(sandbox), "a submission")
        run.send_signal(signal.SIGHUP)
        os.close(master)
        assert run.wait(timeout=30) == 0

    assert len(list((tmp_path / "m.run/outputs").iterdir())) == 3
