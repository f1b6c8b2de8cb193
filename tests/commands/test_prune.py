"""`runs --prune` and `status --by`: real directories of several days."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit.holding import held
from tests.kit.served import MODEL, batchgen

DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")


def run(home: Path, day: str, *words: str) -> subprocess.CompletedProcess[str]:
    return batchgen(home, "run", "m.yaml", "--sandbox", "--date", day, *words)


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch that has run on three days."""
    home = tmp_path_factory.mktemp("days")
    rows = "[{id: a, prompt: a lake, client: acme}, {id: b, prompt: a hill, client: zeta}]"
    settings = "run_dir: 'runs/{{ date }}'\noutput: {sidecar: true}\n"
    (home / "m.yaml").write_text(f"model: {MODEL}\n{settings}prompts: {rows}\n")
    for day in DAYS:
        assert run(home, day).returncode == 0
    return home


@pytest.fixture
def home(three_days: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(three_days, tmp_path / "copy"))


def files(home: Path, day: str) -> set[str]:
    directory = home / "runs" / f"{day}.sandbox"
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def prune(home: Path, *words: str) -> list[dict[str, Any]]:
    done = batchgen(home, "runs", "m.yaml", "--sandbox", "--prune", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_it_lists_and_removes_only_with_yes(home: Path) -> None:
    """Outputs, sidecars and thumbnails of the older days go; ledger, results and page stay."""
    before = {day: files(home, day) for day in DAYS}
    listed = prune(home, "--keep-last", "1")
    assert [(Path(one["run_dir"]).name, one["files"], one["removed"]) for one in listed] == [
        ("2026-11-20.sandbox", 2, False), ("2026-11-21.sandbox", 2, False),
    ]  # fmt: skip
    assert {day: files(home, day) for day in DAYS} == before

    assert all(one["removed"] for one in prune(home, "--keep-last", "1", "--yes"))
    assert files(home, DAYS[2]) == before[DAYS[2]]
    gone = before[DAYS[0]] - files(home, DAYS[0])
    assert {"outputs/a-1.png", "outputs/a-1.png.json", "outputs/b-1.png"} <= gone
    assert all(name.startswith(("outputs/", "report/")) for name in gone)
    assert {"ledger.jsonl", "results.csv", "report.html"} <= files(home, DAYS[0])


@pytest.mark.slow
def test_a_later_run_of_that_day_submits_nothing(home: Path) -> None:
    """Neither does `--repair`, and nothing calls the files missing."""
    prune(home, "--keep-last", "1", "--yes")
    ledger = home / "runs" / f"{DAYS[0]}.sandbox" / "ledger.jsonl"
    before = ledger.read_bytes()
    for words in ([], ["--repair"], ["--fresh"]):
        assert run(home, DAYS[0], *words).returncode == 0
    assert ledger.read_bytes() == before
    run_dir = f"runs/{DAYS[0]}"
    verified = batchgen(home, "ledger", "verify", "--files", "m.yaml", "--sandbox", "--run-dir",
        run_dir)  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert batchgen(home, "report", "m.yaml", "--sandbox", "--run-dir", run_dir).returncode == 0
    assert prune(home, "--keep-last", "1", "--yes")[0]["files"] == 0


@pytest.mark.slow
def test_a_directory_with_work_left_or_a_run_is_skipped(home: Path) -> None:
    """And the message says so."""
    (home / "m.yaml").write_text((home / "m.yaml").read_text().replace("a lake", "a sea"))
    assert run(home, DAYS[0], "--no-download").returncode == 0
    with held(home / "runs" / f"{DAYS[1]}.sandbox"):
        done = batchgen(home, "runs", "m.yaml", "--sandbox", "--prune", "--keep-last", "1", "--yes")
    assert "2026-11-20.sandbox  skipped: it has work left" in done.stdout
    assert "2026-11-21.sandbox  skipped: a run is active" in done.stdout
    assert "outputs/a-1.png" in files(home, DAYS[1])


@pytest.mark.slow
def test_only_what_was_downloaded_goes(home: Path) -> None:
    """A file that somebody changed, a link, and what a hostile ledger names outside all stay."""
    directory = home / "runs" / f"{DAYS[0]}.sandbox"
    (directory / "outputs" / "a-1.png").write_bytes(b"touched up")
    (directory / "outputs" / "mine.png").write_bytes(b"x")
    outside = home / "outside.png"
    outside.write_bytes(b"12345")
    ledger = directory / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    line = next(json.loads(one) for one in lines if '"downloaded"' in one and '"b"' in one)
    original = line["files"][0]
    moved = directory / original["path"]
    target = home / "elsewhere.png"
    moved.rename(target)
    moved.symlink_to(target)
    line["files"] = [
        original, original | {"path": "../../outside.png", "bytes": 5},
        original | {"path": "ledger.jsonl"}, original | {"path": "report.html"},
    ]  # fmt: skip
    ledger.write_text("\n".join([*lines, json.dumps(line)]) + "\n")
    assert run(home, DAYS[0]).returncode == 0  # finished again, with this ledger
    prune(home, "--keep-last", "2", "--yes")
    assert outside.exists()
    assert target.exists()
    kept = files(home, DAYS[0])
    assert {"outputs/a-1.png", "outputs/mine.png", "ledger.jsonl", "report.html"} <= kept


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--prune"], "--prune needs --keep-last N"),
        (["--yes"], "belong to --prune"),
        (["--prune", "--keep-last", "0"], "'0' is not a whole number of at least 1"),
    ],
)
def test_flags_that_do_not_fit(home: Path, words: list[str], text: str) -> None:
    """Nothing is removed by half a command."""
    done = batchgen(home, "runs", "m.yaml", "--sandbox", *words)
    assert (done.returncode, text in done.stderr) == (64, True)


def test_nothing_to_prune_without_dates(tmp_path: Path) -> None:
    """One directory is the batch itself."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    done = batchgen(tmp_path, "runs", "m.csv", "--sandbox", "--prune", "--keep-last", "1", "--yes")
    assert (done.returncode, "no date in its name" in done.stdout) == (0, True)


def test_status_by_a_column(home: Path) -> None:
    """In any case of the letters; an unknown column is refused with the nearest."""
    words = ["status", "m.yaml", "--sandbox"]
    found = json.loads(batchgen(home, *words, "--by", "CLIENT", "--json").stdout)["by"]
    assert {value: one["jobs"] for value, one in found["client"].items()} == {"acme": 1, "zeta": 1}
    assert found["client"]["acme"]["states"]["downloaded"] == 1
    assert found["client"]["acme"]["cost_usd"] == 0.03
    assert "client=acme: 1 downloaded, $0.03" in batchgen(home, *words, "--by", "client").stdout
    done = batchgen(home, *words, "--by", "cleint")
    assert (done.returncode, "no column 'cleint'" in done.stderr) == (65, True)
