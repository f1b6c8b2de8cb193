"""`batchgen cancel` that reaches nobody, or with a token that is not accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit.live import batchgen, live_sandbox, prompts

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest with two jobs in flight in a sandbox that has gone."""
    path = prompts(tmp_path / "m.csv", 2)
    with live_sandbox(SandboxConfig(duration_min_s=60.0, duration_max_s=60.0)) as sandbox:
        done = batchgen("run", path, "--job-timeout", "100ms", sandbox=sandbox)
    assert done.code == 75, done.err
    return path


def in_flight(manifest: Path) -> set[str]:
    """Return the states of its jobs."""
    done = batchgen("ledger", "show", manifest)
    return {
        word for line in done.out.splitlines() for word in line.split() if word.startswith("in_")
    }


def test_nobody_listens(manifest: Path) -> None:
    """69: nothing could be done, and the jobs stay in flight."""
    done = batchgen("cancel", manifest, "--base-url", NOBODY, RUNCOMFY_TOKEN="test-token")

    assert done.code == 69, done.err
    assert "did not answer" in done.err
    assert in_flight(manifest) <= {"in_queue", "in_progress"}


def test_a_wrong_token(manifest: Path) -> None:
    """77, with where to get one; the jobs stay in flight."""
    with live_sandbox() as sandbox:
        done = batchgen("cancel", manifest, sandbox=sandbox, RUNCOMFY_TOKEN="wrong")

    assert done.code == 77, done.err
    assert "RUNCOMFY_TOKEN" in done.err
    assert in_flight(manifest) <= {"in_queue", "in_progress"}


def test_no_token(manifest: Path) -> None:
    """77 before anything is asked."""
    with live_sandbox() as sandbox:
        done = batchgen("cancel", manifest, "--base-url", sandbox.base_url)

        assert done.code == 77, done.err
        assert sandbox.audit.call_count == 0
