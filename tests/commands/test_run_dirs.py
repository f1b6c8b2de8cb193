"""Where a batch lies: dated directories, what they remember, and how files are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.commands.test_run import QUICK
from tests.kit import MODEL
from tests.kit.ledger_view import states
from tests.kit.live import accepted, batchgen, live_sandbox, write_csv

DATED = f"""
model: {MODEL}
run_dir: runs/{{{{ date }}}}
prompts:
  - {{id: a, prompt: one}}
  - {{id: b, prompt: two}}
"""


def test_every_night_a_directory_of_its_own(tmp_path: Path) -> None:
    """With {{ date }} in run_dir the same rows are made anew each night, and only once a night."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(DATED)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        for day in ("2026-11-20", "2026-11-21", "2026-11-21"):
            done = batchgen("run", manifest, "--date", day, sandbox=sandbox)
            assert done.code == 0, done.err
        paid = accepted(sandbox)
        listed = batchgen("runs", manifest)

    assert paid == {"one": 2, "two": 2}
    assert [line.split()[0][-10:] for line in listed.out.splitlines()] == [
        "2026-11-20", "2026-11-21",
    ]  # fmt: skip
    assert "2 downloaded" in listed.out
    assert "work left" not in listed.out


@pytest.mark.slow
def test_yesterday_goes_first_where_it_has_work_left(tmp_path: Path) -> None:
    """An interrupted night is finished first; rows added since are today's only."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(DATED)

    with live_sandbox(SandboxConfig(balance_usd=0.04, **QUICK)) as poor:
        first = batchgen(
            "run", manifest, "--date", "2020-01-01", "--concurrency", "1", sandbox=poor
        )
        listed = batchgen("runs", manifest)
    manifest.write_text(DATED + "  - {id: c, prompt: three}\n")
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        plan = batchgen("run", manifest, "--dry-run", sandbox=sandbox)
        second = batchgen("run", manifest, sandbox=sandbox)
        third = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert first.code == 75
    assert "work left" in listed.out
    assert "2020-01-01 still has work left" in plan.err
    assert (second.code, third.code) == (0, 0), second.err
    assert "2020-01-01 still has work left" in second.err
    assert "still has work left" not in third.err
    assert paid == {"one": 1, "two": 2, "three": 1}
    assert set(states(tmp_path / "runs/2020-01-01")) == {"a", "b"}


@pytest.mark.slow
def test_a_fresh_day_leaves_the_others_alone(tmp_path: Path) -> None:
    """--fresh: what is left of yesterday stays left."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(DATED)

    with live_sandbox(SandboxConfig(balance_usd=0.04, **QUICK)) as poor:
        batchgen("run", manifest, "--date", "2020-01-01", "--concurrency", "1", sandbox=poor)
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, "--fresh", sandbox=sandbox)
        paid = accepted(sandbox)

    assert paid == {"one": 1, "two": 1}


def test_the_directory_remembers_what_shaped_its_jobs(tmp_path: Path) -> None:
    """Later commands need no flags; a flag that differs wins and is pointed out."""
    manifest = write_csv(tmp_path / "m.csv", ["one,0.5"], header="Text,scale")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        words = ("--column", "prompt=Text", "--param", "size=1024x1024")
        first = batchgen("run", manifest, *words, sandbox=sandbox)
        again = batchgen("run", manifest, "--model", MODEL, sandbox=sandbox)
        other = batchgen("run", manifest, "--param", "size=2048x2048", sandbox=sandbox)
        sent = [request.input for request in sandbox.audit.requests]
    status = json.loads(batchgen("status", manifest, "--json").out)

    assert (first.code, again.code, other.code) == (0, 0, 0), first.err + again.err + other.err
    assert [one["width×height"] for one in sent] == ["1024x1024(1:1)", "2048x2048(1:1)"]
    assert "--param is size=2048x2048 now" in other.err
    assert status["states"]["downloaded"] == 2, "the row, and the job of the row as it was"


def test_files_are_called_as_the_manifest_says(tmp_path: Path) -> None:
    """A template over the row's columns, made safe; two of one name are kept apart."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        f"model: {MODEL}\n"
        "output: {dir: pictures, name: '{{ market }}_{{ id }}_{{ index }}'}\n"
        "prompts: [{file: rows.csv}]\n"
    )
    write_csv(tmp_path / "rows.csv", ["a,one,DE/AT", "b,two,../up"], header="id,prompt,market")

    with live_sandbox(SandboxConfig(images=2, **QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)

    assert done.code == 0, done.err
    names = sorted(path.name for path in (tmp_path / "m.run/pictures").iterdir())
    assert names == ["-up_b_1.png", "-up_b_2.png", "DE-AT_a_1.png", "DE-AT_a_2.png"]


def test_a_name_that_a_row_cannot_give_is_an_error_with_its_row(tmp_path: Path) -> None:
    """Before anything is paid for."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        f"model: {MODEL}\noutput: {{name: '{{{{ market }}}}-{{{{ index }}}}'}}\n"
        "prompts: [{file: rows.csv}]\n"
    )
    write_csv(tmp_path / "rows.csv", ["a,one,DE", "b,two,"], header="id,prompt,market")

    done = batchgen("check", manifest)

    assert done.code == 65
    assert "rows.csv:3" in done.err
    assert "market" in done.err


def test_a_manifest_from_standard_input(tmp_path: Path) -> None:
    """With a format and a place of its own; results and resumption as ever."""
    import subprocess

    from tests.kit.live import command, environment

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        for _ in range(2):
            done = subprocess.run(
                command("run", "-", "--format", "csv", "--run-dir", tmp_path / "here"),
                env=environment(sandbox), input="id,prompt\na,one\n", capture_output=True,
                text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        paid = accepted(sandbox)

    assert paid == {"one": 1}
    assert states(tmp_path / "here") == {"a": "downloaded"}
