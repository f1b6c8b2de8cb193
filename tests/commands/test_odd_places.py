"""Places that are not what a command expects: a directory as manifest, a disk without a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.sandbox import SandboxConfig
from tests.kit.live import batchgen, live_sandbox, prompts, start
from tests.kit.waiting import wait_until

COMMANDS = ["run", "check", "status", "report", "runs", "retry", "cancel"]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("format_", ["", "csv", "yaml", "xlsx", "json", "txt"])
def test_a_directory_in_place_of_a_manifest_is_answered_with_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, format_: str
) -> None:
    """For every command, whatever format it is said to have: 66, and what could be meant."""
    prompts(tmp_path / "heroes.csv", 1)

    assert main([name, str(tmp_path), *(["--format", format_] if format_ else [])]) == 66

    err = capsys.readouterr().err
    assert "is a directory" in err
    assert "heroes.csv" in err


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_directory_without_a_name_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It has no name from which that of the run directory could be made."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")  # whatever is beside the checkout
    assert main(["check", name]) == 66
    assert "is a directory" in capsys.readouterr().err


UNSYNCED = """
import errno, os, stat
_fsync = os.fsync
def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError({number}, os.strerror({number}))
    _fsync(fd)
os.fsync = fsync
"""


@pytest.mark.parametrize("number", ["errno.EINVAL", "errno.ENOTSUP"])
def test_a_run_on_a_disk_that_cannot_sync_directories_ends_well(
    tmp_path: Path, number: str
) -> None:
    """The first run does everything."""
    (tmp_path / "sitecustomize.py").write_text(UNSYNCED.format(number=number))
    manifest = prompts(tmp_path / "m.csv", 2)

    with live_sandbox() as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox, PYTHONPATH=str(tmp_path))

    assert done.code == 0, done.err
    assert len(list((tmp_path / "m.run" / "outputs").iterdir())) == 2


def test_one_job_can_be_cancelled_while_it_is_queued(tmp_path: Path) -> None:
    """The sandbox lets a job wait before it runs, although there is room for it."""
    manifest = prompts(tmp_path / "m.csv", 1)
    config = SandboxConfig(queue_min_s=60, queue_max_s=60)

    with live_sandbox(config) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: len(sandbox.audit.requests) == 1, "one submission")
        run.terminate()
        run.communicate()
        done = batchgen("cancel", manifest, sandbox=sandbox)

    assert done.code == 0, done.err
    assert "1 job cancelled" in done.out


def test_the_sandbox_in_process_has_a_queue_too(tmp_path: Path) -> None:
    """A run with `--on-interrupt cancel` has something to cancel, if it is stopped in time."""
    manifest = prompts(tmp_path / "m.csv", 8)
    ledger = tmp_path / "m.run.sandbox" / "ledger.jsonl"

    run = start("run", manifest, "--sandbox", "--on-interrupt", "cancel")
    wait_until(
        lambda: ledger.exists() and ledger.read_text().count("in_queue") == 8, "eight submissions"
    )
    run.terminate()
    run.communicate()

    assert '"cancelled"' in ledger.read_text()
