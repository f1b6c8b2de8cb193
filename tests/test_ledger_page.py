"""docs/ledger.md: its recipes run, and its specification is what the program writes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from batchgen.core.lifecycle import JobState
from batchgen.sandbox import SandboxConfig
from tests.kit.ledger_view import LedgerView
from tests.kit.live import batchgen, live_sandbox, write_csv

PAGE = (Path(__file__).resolve().parent.parent / "docs/ledger.md").read_text(encoding="utf-8")
RECIPES = re.findall(
    r"^    ((?:tail|jq) .*)$", PAGE.partition("<!-- recipes")[2].partition("\n## ")[0], re.MULTILINE
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a batch with every kind of ending."""
    base = tmp_path_factory.mktemp("page")
    rows = ["fox,a red fox", "owl,an owl", "lost,lost one", "bad,bad one"]
    manifest = write_csv(base / "m.csv", rows)
    faults = ("submit:lose-answer:match=lost", "result:failed:match=bad:cost_usd=0.01")
    config = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05, faults=faults)
    with live_sandbox(config) as sandbox:
        assert batchgen("run", manifest, sandbox=sandbox).code == 1
    return base / "m.run"


def run(command: str, run_dir: Path) -> str:
    """Run a command as a user would, in the run directory."""
    done = subprocess.run(
        command, shell=True, cwd=run_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (0, r'\["bad","generation",".*"\]\n'),
        (1, r'(?s)\{\s*"downloaded": 2,\s*"failed": 1,\s*"in_doubt": 1\s*\}\n'),
        (2, r"0\.07\n"),
        (3, r'(?s)\["20\S+Z","submitting",1,null,null\]\n.*"downloaded".*\n'),
        (4, r'(?s).*"prompt": "a red fox".*'),
        (5, r'\["lost","20\S+Z"\]\n'),
        (6, r'(?s)\[\d+,"(fox|owl)"\]\n\[\d+,"(fox|owl)"\]\n'),
        (7, r"(?s)([0-9a-f]{64}  outputs/\S+\n){2}"),
    ],
)
def test_a_recipe_gives_what_it_says(run_dir: Path, recipe: int, expected: str) -> None:
    """Exactly as it is on the page."""
    assert len(RECIPES) == 8
    assert re.fullmatch(expected, run(RECIPES[recipe], run_dir))


def test_digests_are_those_of_the_files(run_dir: Path) -> None:
    """The last recipe is what sha256sum checks."""
    if shutil.which("jq") is None or shutil.which("sha256sum") is None:
        pytest.skip("jq and sha256sum are needed")
    assert run(f"{RECIPES[7]} | sha256sum --check --quiet", run_dir) == ""


def test_every_key_and_state_that_is_written_is_specified(run_dir: Path) -> None:
    """And nothing is in the ledger that the page does not name."""
    named = set(re.findall(r"`([a-z_]+)`", PAGE))
    ledger = LedgerView.read(run_dir)

    assert set(ledger.header) <= named
    assert {key for record in ledger.records for key in record} <= named
    assert {state.value for state in JobState} - {"unknown"} <= named
    for record in ledger.records:
        assert {"ts", "job", "state", "attempt", "request_id", "outputs"} <= set(record)
        assert ("input" in record) == (record["state"] == "submitting")
