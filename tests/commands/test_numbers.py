"""One set of numbers: whoever counts the jobs of a batch counts the same ones, with one cost."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.core.lifecycle import JobState
from batchgen.sandbox import SandboxConfig
from tests.kit.cases import few
from tests.kit.live import Done, Live, batchgen, live_sandbox, write_csv

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}
FIRST = ["a,a fox", "b,a dog", "c,a cat", "d,a cow"]

Numbers = tuple[dict[str, int], float]
"""Jobs by state, and the cost."""


def of_json(found: dict[str, object]) -> Numbers:
    """Return the numbers in an object that `--json` prints."""
    states, cost_usd = found["states"], found["cost_usd"]
    assert isinstance(states, dict)
    assert isinstance(cost_usd, float | int)
    assert found["jobs"] == sum(states.values())
    return {state: count for state, count in states.items() if count}, round(cost_usd, 6)


def of_text(text: str) -> Numbers:
    """Return the numbers in a sentence such as `3 downloaded, 1 in doubt, $0.09`."""
    words = {"in doubt": "in_doubt", "completed, not downloaded": "completed"}
    known = "|".join([*words, "downloaded", "pending", "invalid", "failed", "cancelled"])
    states = {words.get(word, word): int(n) for n, word in re.findall(rf"(\d+) ({known})", text)}
    cost = re.search(r"\$([\d.]+)", text)
    return states, float(cost[1]) if cost else 0.0


def results(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of results.csv."""
    with (run_dir / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(manifest: Path, run: Done) -> dict[str, Numbers]:
    """Return what each place says about the batch after a run with `--json`."""
    run_dir = manifest.with_suffix(".run")
    rows = results(run_dir)
    status = json.loads(batchgen("status", manifest, "--json").out)
    (last,) = json.loads(batchgen("runs", manifest, "--json").out)
    page = (run_dir / "report.html").read_text()
    facts = re.search('<p id="lead">[^:]*: (.*?)</p>', page)
    data = re.search('id="data">(.*?)</script>', page, re.DOTALL)
    assert facts is not None
    assert data is not None
    cards = Counter(job["state"] for job in json.loads(data[1])["jobs"])
    found = {
        "results": (
            dict(Counter(row["state"] for row in rows)),
            round(sum(float(row["cost_usd"] or 0) for row in rows), 6),
        ),
        "run": of_json(json.loads(run.out)),
        "status": of_json(status),
        "runs": of_json(last),
        "page": of_text(facts[1]),
        "status in words": of_text(batchgen("status", manifest).out.splitlines()[0]),
    }
    assert dict(cards) == found["page"][0]
    return found


def leave_out(manifest: Path, sandbox: Live) -> Done:
    """Remove the row of a job that is done."""
    write_csv(manifest, FIRST[1:])
    return batchgen("run", manifest, "--json", sandbox=sandbox)


def make_invalid(manifest: Path, sandbox: Live) -> Done:
    """Make the row of a job that is done wrong, and repeat the id of another."""
    write_csv(manifest, ["a,", *FIRST[1:], "b,another dog", "e,"])
    return batchgen("run", manifest, "--json", "--skip-invalid", sandbox=sandbox)


def limit(manifest: Path, sandbox: Live) -> Done:
    """Add rows, and submit only one of them."""
    write_csv(manifest, [*FIRST, "e,one", "f,two", "g,three"])
    return batchgen("run", manifest, "--json", "--limit", "1", sandbox=sandbox)


def name_one(manifest: Path, sandbox: Live) -> Done:
    """Add rows, and name one that is done already."""
    write_csv(manifest, [*FIRST[2:], "e,one", "f,two"])
    return batchgen("run", manifest, "--json", "--job", "c", sandbox=sandbox)


def select(manifest: Path, sandbox: Live) -> Done:
    """Select some of the rows, old and new ones."""
    write_csv(manifest, [*FIRST, "e,one fox", "f,two"])
    return batchgen("run", manifest, "--json", "--select", "prompt ~ fox", sandbox=sandbox)


def switch_off(manifest: Path, sandbox: Live) -> Done:
    """Switch a row off whose job is done, and one that never was a job."""
    rows = ["a,a fox,no", "b,a dog,yes", "c,a cat,", "n,a new one,no"]
    write_csv(manifest, rows, "id,prompt,enabled")
    return batchgen("run", manifest, "--json", sandbox=sandbox)


def nothing_at_all(manifest: Path, sandbox: Live) -> Done:
    """Run once more, with nothing to do."""
    return batchgen("run", manifest, "--json", sandbox=sandbox)


def lose_an_answer(manifest: Path, sandbox: Live) -> Done:
    """Leave a job in doubt and a job that failed, and remove both rows."""
    write_csv(manifest, [*FIRST, "x,lost one", "y,failing one"])
    batchgen("run", manifest, sandbox=sandbox)
    write_csv(manifest, FIRST)
    return batchgen("run", manifest, "--json", sandbox=sandbox)


CHANGES = [
    leave_out,
    make_invalid,
    limit,
    name_one,
    select,
    switch_off,
    nothing_at_all,
    lose_an_answer,
]


@pytest.mark.parametrize("change", few(CHANGES, 2))
def test_every_place_counts_the_same_jobs_with_one_cost(
    tmp_path: Path, change: Callable[[Path, Live], Done]
) -> None:
    """All rows of the manifest and every job of the ledger, whatever one run was about."""
    manifest = write_csv(tmp_path / "m.csv", FIRST)
    faults = ("submit:lose-answer:match=lost", "result:failed:match=failing")

    with live_sandbox(SandboxConfig(**QUICK, faults=faults)) as sandbox:
        assert batchgen("run", manifest, sandbox=sandbox).code == 0
        found = numbers(manifest, change(manifest, sandbox))

    assert all(one == found["results"] for one in found.values()), found
    assert found["results"][0].keys() <= {*JobState, "invalid"}


@pytest.mark.slow
def test_jobs_whose_row_has_gone_follow_in_the_order_of_their_first_record(tmp_path: Path) -> None:
    """Also if they were submitted again later; after all rows of the manifest."""
    manifest = write_csv(tmp_path / "m.csv", ["z,failing fox"])
    faults = ("result:failed:match=failing:first=3",)

    with live_sandbox(SandboxConfig(**QUICK, faults=faults)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        write_csv(manifest, ["m,a dog", "k,a cat"])
        batchgen("run", manifest, "--job", "m", sandbox=sandbox)
        batchgen("run", manifest, "--job", "k", sandbox=sandbox)
        write_csv(manifest, ["b,one", "a,two"])
        batchgen("run", manifest, sandbox=sandbox)

    rows = results(tmp_path / "m.run")
    assert [row["job"] for row in rows] == ["b", "a", "z", "m", "k"]
    manifest.unlink()
    assert batchgen("report", manifest).code == 0
    assert [row["job"] for row in results(tmp_path / "m.run")] == ["z", "m", "k", "b", "a"]


def test_the_cells_of_an_invalid_row_hold_no_data_of_a_job(tmp_path: Path) -> None:
    """Also if its id is that of a valid row, or of a job of the ledger; that job is shown too."""
    manifest = write_csv(tmp_path / "m.csv", FIRST[:2])

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        make_invalid(manifest, sandbox)

    rows = results(tmp_path / "m.run")
    invalid = [row for row in rows if row["state"] == "invalid"]
    assert [(row["id"], row["job"]) for row in invalid] == [("a", ""), ("b", ""), ("e", "e")]
    for row in invalid:
        data = {name for name, cell in row.items() if cell} - {"id", "prompt", "job"}
        assert data == {"state", "error"}
    assert rows[-1]["job"] == "a"
    assert rows[-1]["state"] == "downloaded"
