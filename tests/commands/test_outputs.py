"""Outputs as a user sees them: sidecars, warnings, places that cannot be used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from batchgen.core.units import timestamp
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import batchgen, environment, live_sandbox, prompts, write_csv

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}


def sidecars(run_dir: Path) -> list[dict[str, Any]]:
    """Each of them, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(run_dir.glob("outputs/*.json"))]


def check_sidecar(told: dict[str, Any], run_dir: Path) -> None:
    """It belongs to the file whose name it has."""
    content = (run_dir / "outputs" / told["file"]).read_bytes()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["bytes"] == len(content)


def test_a_sidecar_has_all_that_it_takes_to_make_the_same_again(tmp_path: Path) -> None:
    """Prompt and parameters as they were sent, model, job, request_id, cost, times, digest."""
    manifest = write_csv(tmp_path / "a.csv", ["fox,a fox,0.8,Jo"], header="id,prompt,scale,Wer")
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, "--sidecar", sandbox=sandbox)

    assert done.code == 0, done.err
    run_dir = tmp_path / "a.run"
    (told,) = sidecars(run_dir)
    check_sidecar(told, run_dir)
    assert (run_dir / "outputs/fox-1.png.json").exists()
    assert (told["job"], told["model"], told["prompt"]) == ("fox", MODEL, "a fox")
    assert told["parameters"] == {"scale": 0.8}
    assert told["cost_usd"] > 0
    assert told["request_id"]
    assert told["submitted_at"] < told["finished_at"]
    again = batchgen("status", manifest)
    assert again.code == 0


def test_a_sidecar_says_what_was_submitted_not_what_the_row_says_now(tmp_path: Path) -> None:
    """The row was edited, or has gone, between the night and the download."""
    manifest = write_csv(tmp_path / "a.yaml", [], header="")
    rows = [{"id": "edited", "prompt": "old words"}, {"id": "gone", "prompt": "no row"}]
    head = {"model": MODEL, "output": {"sidecar": True}}
    manifest.write_text(json.dumps({**head, "prompts": rows}))
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, "--no-download", sandbox=sandbox)
        rows = [{"id": "edited", "prompt": "new words"}]
        manifest.write_text(json.dumps({**head, "prompts": rows}))
        done = batchgen("run", manifest, "--changed", "keep", sandbox=sandbox)

    assert "Traceback" not in done.err
    assert {told["job"]: told["prompt"] for told in sidecars(tmp_path / "a.run")} == {
        "edited": "old words", "gone": "no row",
    }  # fmt: skip


def test_status_warns_of_what_was_not_downloaded_and_says_how_old_it_is(tmp_path: Path) -> None:
    """Paid for and remote: outputs do not wait for ever."""
    manifest = prompts(tmp_path / "a.csv", 2)
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, "--no-download", sandbox=sandbox)
    ledger = tmp_path / "a.run/ledger.jsonl"
    old = timestamp(time.time() - 6 * 86_400)
    ledger.write_text(
        re.sub(r'"finished_at":"[^"]*"', f'"finished_at":"{old}"', ledger.read_text())
    )

    said = batchgen("status", manifest)
    told = json.loads(batchgen("status", manifest, "--json").out)["not_downloaded"]

    assert "2 jobs completed, not downloaded; the oldest ended 6.0 days ago" in said.out
    assert "fetch them now" in said.out
    assert told == {"jobs": 2, "oldest_finished_at": old}


def test_a_place_that_cannot_be_used_is_said_before_anything_is_submitted(tmp_path: Path) -> None:
    """With the line of the manifest, and what to do."""
    manifest = tmp_path / "a.yaml"
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        for place, says in (
            ("ftp://host/x", "is not a place for files"),
            ("s3://", "names no bucket"),
            ("s3://key:secret@bucket/x", "credentials and settings come from the environment"),
        ):
            manifest.write_text(f"model: {MODEL}\nprompts: [a]\noutput: {{dir: '{place}'}}\n")
            done = batchgen("run", manifest, sandbox=sandbox)
            assert done.code == 65
            assert f"{manifest}:3: output.dir: " in done.err
            assert says in done.err
            assert "secret" not in done.err
        assert sandbox.audit.requests == []


WITHOUT_EXTRA = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "obstore":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "obstore" else found(name, *more)
from batchgen.cli import console
console()
"""


def test_a_bucket_without_the_extra_names_it(tmp_path: Path) -> None:
    """Nothing is submitted, and the sentence says what to install."""
    manifest = tmp_path / "a.yaml"
    manifest.write_text(f"model: {MODEL}\nprompts: [a]\noutput: {{dir: 's3://bucket/x'}}\n")
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRA, "run", str(manifest)],
            env=environment(sandbox), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert sandbox.audit.requests == []

    assert done.returncode == 65
    assert "pip install 'batchgen[stores]'" in done.stderr


def test_a_disk_that_refuses_outputs_stops_the_run_before_it_spends(tmp_path: Path) -> None:
    """Exit 74, and no job was submitted whose picture could not be kept."""
    manifest = prompts(tmp_path / "a.csv", 3)
    (tmp_path / "a.run").mkdir()
    (tmp_path / "a.run/outputs").write_text("in the way")
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)
        assert sandbox.audit.requests == []

    assert done.code == 74
    assert os.fspath(tmp_path / "a.run/outputs") in done.err
