"""A run directory that is moved, replaced or removed while a run uses it. Real processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit.live import Live, accepted, batchgen, live_sandbox, prompts, start
from tests.kit.waiting import wait_until

JOBS = 12


SLOW = pytest.mark.slow


def submitted(sandbox: Live, run_dir: Path) -> bool:
    """Half of the jobs are submitted, none has ended."""
    return len(sandbox.audit.requests) >= JOBS // 2 and run_dir.exists()


def downloaded(sandbox: Live, run_dir: Path) -> bool:
    """Some files are downloaded."""
    del sandbox
    return len(list(run_dir.glob("outputs/*.png"))) >= 2


def rename(run_dir: Path) -> Path:
    """Rename the run directory."""
    return run_dir.rename(run_dir.with_name("moved.run"))


def replace(run_dir: Path) -> Path:
    """Put an empty directory in its place."""
    moved = rename(run_dir)
    run_dir.mkdir()
    return moved


def copy_back(run_dir: Path) -> Path:
    """Put a copy in its place, as a restored backup is one."""
    moved = rename(run_dir)
    shutil.copytree(moved, run_dir)
    return moved


def rename_parent(run_dir: Path) -> Path:
    """Rename the directory above it."""
    parent = run_dir.parent
    return parent.rename(parent.with_name("elsewhere")) / run_dir.name


@pytest.mark.parametrize(
    "move",
    [rename, *(pytest.param(one, marks=SLOW) for one in (replace, copy_back, rename_parent))],
)
@pytest.mark.parametrize("moment", [submitted, pytest.param(downloaded, marks=SLOW)])
@pytest.mark.slow
def test_a_run_notices_that_its_directory_was_moved(
    moment: Callable[[Live, Path], bool], move: Callable[[Path], Path], tmp_path: Path
) -> None:
    """74 with what to do; nothing is paid for twice, and every answer is in the moved ledger."""
    manifest = prompts(tmp_path / "m.csv", JOBS)
    run_dir = tmp_path / "nights" / "m.run"
    config = SandboxConfig(duration_min_s=0.4, duration_max_s=1.2, capacity=2)
    with live_sandbox(config) as sandbox:
        run = start("run", manifest, "--run-dir", run_dir, sandbox=sandbox)
        wait_until(lambda: moment(sandbox, run_dir), moment.__doc__ or "", alive=run)
        moved = move(run_dir)
        _, err = run.communicate(timeout=30)

        assert run.returncode == 74, err
        assert "--run-dir" in err
        if move in (rename, rename_parent):
            assert not run_dir.exists()
        again = batchgen("run", manifest, "--run-dir", moved, sandbox=sandbox)
        assert again.code == 0, again.err
        counts = accepted(sandbox)

    assert "in doubt" not in again.err
    assert set(counts.values()) == {1}
    assert len(list(moved.glob("outputs/*"))) == JOBS


@pytest.mark.parametrize("moment", [submitted, downloaded])
def test_a_run_notices_that_its_directory_was_removed(
    moment: Callable[[Live, Path], bool], tmp_path: Path
) -> None:
    """74, and no directory takes its place."""
    manifest = prompts(tmp_path / "m.csv", JOBS)
    run_dir = tmp_path / "m.run"
    config = SandboxConfig(duration_min_s=0.4, duration_max_s=1.2, capacity=2)
    with live_sandbox(config) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: moment(sandbox, run_dir), moment.__doc__ or "", alive=run)
        rename(run_dir)
        shutil.rmtree(tmp_path / "moved.run")
        _, err = run.communicate(timeout=30)

    assert run.returncode == 74, err
    assert not run_dir.exists()
