"""The commands that look, and the command line itself."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchgen import __version__
from batchgen.cli import main
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import batchgen, live_sandbox, prompts, write_csv

REPO = Path(__file__).resolve().parents[2]
QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spreadsheet that was run: one job downloaded, one failed, one in doubt."""
    directory = tmp_path_factory.mktemp("ran")
    manifest = prompts(directory / "m.csv", 3)
    faults = ("result:failed:match=number 1", "submit:500:match=number 2")
    with live_sandbox(SandboxConfig(faults=faults, **QUICK)) as sandbox:
        done = batchgen("run", manifest, "--max-attempts", "1", sandbox=sandbox)
    assert done.code == 1, done.err
    return manifest


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """On every level, on stdout, with code 0."""
    for argv in (["--version"], ["-h"], ["run", "-h"], ["sandbox", "-h"]):
        assert main(argv) == 0
    assert f"batchgen {__version__}" in capsys.readouterr().out


def test_the_entry_point_and_the_module_are_the_same_program() -> None:
    """`python -m batchgen` is what the installed command is."""
    module = batchgen("--version")
    script = subprocess.run(
        [Path(sys.executable).with_name("batchgen"), "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert script.stdout == module.out


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 64, "COMMAND"),
        (["walk"], 64, "walk"),
        (["run"], 64, "MANIFEST"),
        (["run", "m.csv", "--conc", "3"], 64, "--conc"),
        (["run", "m.csv", "--concurrency", "0"], 64, "whole number of at least 1"),
        (["run", "m.csv", "--param", "scale"], 64, "KEY=VALUE"),
        (["run", "m.csv", "--job-timeout", "soon"], 64, "duration"),
        (["run", "nowhere.csv"], 66, "nowhere.csv"),
        (["check", "nowhere.yaml"], 66, "nowhere.yaml"),
        (["status", "nowhere.csv"], 66, "nowhere.csv"),
        (["models", "no/such"], 64, "no/such"),
        (["run", "-", "--format", "txt"], 64, "--run-dir"),
        (["run", "jobs/tiny.yaml", "--base-url", "ftp://x"], 64, "--base-url"),
        (["run", "jobs/tiny.yaml", "--base-url", "http://example.com/v1"], 64, "https"),
    ],
)
def test_errors_are_a_sentence_and_a_code(
    argv: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """What is wrong and what would be right, on stderr; no traceback."""
    monkeypatch.chdir(REPO)
    if argv[:1] == ["run"] and "jobs/tiny.yaml" in argv:
        argv = [*argv, "--run-dir", str(tmp_path / "x")]

    assert main(argv) == code

    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert "Traceback" not in err


def test_a_defect_is_a_sentence_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sees a traceback unasked; -vv shows it."""

    def broken(args: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("batchgen.commands.models.handle", broken)

    assert main(["models"]) == 70
    first = capsys.readouterr().err
    assert "defect" in first
    assert "Traceback" not in first
    assert main(["-vv", "models"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tiny.yaml", "editorial.yaml", "spring-campaign.csv"])
def test_the_samples_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What ships in jobs/ passes its own check."""
    assert main(["check", str(REPO / "jobs" / name), "--model", MODEL]) == 0
    assert "nothing wrong" in capsys.readouterr().out


def test_the_spreadsheet_sample_is_one_that_people_really_have() -> None:
    """At least forty rows, extra columns, umlauts, and a line break in a cell."""
    with (REPO / "jobs/spring-campaign.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) >= 40
    assert {"Kampagne", "Verantwortlich"} <= set(rows[0])
    assert any("ü" in row["prompt"] for row in rows)
    assert any("\n" in row["prompt"] for row in rows)


def test_check_writes_nothing_and_calls_nobody(tmp_path: Path) -> None:
    """Only the findings, on stdout when all is well."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox() as sandbox:
        done = batchgen("check", manifest, "--model", MODEL, sandbox=sandbox)
        assert sandbox.audit.call_count == 0

    assert (done.code, done.err) == (0, "")
    assert "3 jobs, nothing wrong" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "m.csv"]


def test_check_says_every_limit_of_the_model(tmp_path: Path) -> None:
    """Length, size, range and switch, each in the coordinates of the spreadsheet."""
    manifest = write_csv(
        tmp_path / "m.csv",
        [
            f"{'x' * 801},2048x2048,0.5,TRUE",
            "fine,2048x2047,0.5,no",
            "fine,16:9,0.5,",
            "fine,4096x4096,1.01,",
            "fine,4096x4096,-0.1,",
            "fine,4096x4096,much,",
            "fine,4096x4096,1,maybe",
            f"{'ü' * 800},6198x2656(21:9),1,yes",
        ],
        header="prompt,size,scale,force_single",
    )

    done = batchgen("check", manifest, "--model", MODEL)

    assert done.code == 65
    lines = [line for line in done.err.splitlines() if line.startswith(str(manifest))]
    rows = [int(line.removeprefix(str(manifest)).split(":")[1]) for line in lines]
    assert rows == [2, 3, 4, 5, 6, 7, 8]
    assert "800" in lines[0]
    assert "2048x2048(1:1)" in lines[1]
    assert "2560x1440(16:9)" in lines[2]
    assert "5404x3040(16:9)" in lines[2]
    assert "maximum 1" in lines[3]
    assert "minimum 0" in lines[4]


def test_status_counts_by_state_and_cause(ran: Path) -> None:
    """For a person and for a program, without --model: the run directory remembers it."""
    text = batchgen("status", ran)
    found = json.loads(batchgen("status", ran, "--json").out)

    assert text.code == 0
    assert "3 jobs: 1 downloaded, 1 failed, 1 in doubt" in text.out
    assert "lost_answer" in text.out
    assert found["states"]["downloaded"] == 1
    assert {failure["kind"] for failure in found["failures"]} == {"generation", "lost_answer"}
    assert found["cost_usd"] == pytest.approx(0.03)


def test_report_writes_the_same_again(ran: Path) -> None:
    """No network, no token, the same bytes for the same state."""
    path = ran.parent / "m.run/results.csv"
    before = path.read_bytes()
    path.unlink()

    done = batchgen("report", ran)

    assert done.code == 0
    assert done.out.strip().endswith("report.html")
    assert path.read_bytes() == before
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["downloaded", "failed", "in_doubt"]
    assert rows[2]["error"].startswith("lost_answer: ")


def test_report_without_the_manifest(ran: Path, tmp_path: Path) -> None:
    """The ledger alone is enough for the results."""
    done = batchgen("report", tmp_path / "gone.csv", "--run-dir", ran.parent / "m.run")

    assert done.code == 0, done.err
    assert "no longer exists" in done.err
    with (ran.parent / "m.run/results.csv").open(newline="", encoding="utf-8") as file:
        assert [row["job"] for row in csv.DictReader(file)] == ["j0000", "j0001", "j0002"]
    assert batchgen("report", ran).code == 0


def test_a_page_that_hostile_prompts_cannot_break(tmp_path: Path) -> None:
    """What stands in a cell is text on the page, never markup."""
    manifest = write_csv(tmp_path / "m.csv", ['<script>alert(1)</script>,"<b>&"'], "prompt,who")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)

    page = (tmp_path / "m.run/report.html").read_text()
    assert page.count("<script") == 2
    assert "\\u003cscript>alert(1)" in page


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    """The list, and the limits of one."""
    assert main(["models"]) == 0
    assert MODEL in capsys.readouterr().out
    assert main(["models", MODEL]) == 0
    shown = capsys.readouterr().out
    for word in ("prompt", "width×height", "800 characters", "0 to 1", "6198x2656(21:9)"):
        assert word in shown


def test_the_sandbox_around_a_command(tmp_path: Path) -> None:
    """Both variables are set for it, and its code is the code."""
    manifest = prompts(tmp_path / "m.csv", 3)

    done = batchgen(
        "sandbox", "--duration", "0.05-0.1", "--", sys.executable, "-m", "batchgen", "run",
        manifest, "--model", MODEL,
    )  # fmt: skip

    assert done.code == 0, done.err
    assert (tmp_path / "m.run/results.csv").exists()
