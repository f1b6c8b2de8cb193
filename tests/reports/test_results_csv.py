"""results.csv: what it adds to the user's columns, and that it can be read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from batchgen.core.events import JobError, OutputFile
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.spreadsheet import RESULT_COLUMNS
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.settings import RowOptions
from batchgen.reports.results_csv import ResultRow, result_cells, write_results
from tests.manifest.conftest import NoSchemas

CONTRACT_COLUMNS = [
    "job", "state", "request_id", "outputs", "files", "cost_usd", "attempts", "error",
    "submitted_at", "finished_at", "step", "take", "verdict", "note", "checks",
]  # fmt: skip
"""The added columns that users may rely on; those that are not written yet are the last ones."""

RECORD = JobRecord(
    ts="2026-11-22T02:00:02.000Z",
    job="fox",
    state=JobState.FAILED,
    attempt=2,
    request_id="r-1",
    outputs=("https://x/1", "https://x/2"),
    files=(OutputFile(path="outputs/fox-1.png", bytes=1, sha256="0"),),
    error=JobError(kind="generation", message="=1+1"),
    cost_usd=0.5,
    earlier_cost_usd=0.25,
    submitted_at="2026-11-22T02:00:00.000Z",
    finished_at="2026-11-22T02:00:01.000Z",
)


def written(tmp_path: Path, columns: list[str], *rows: ResultRow) -> list[list[str]]:
    """Write these results and read the cells as any program does."""
    path = tmp_path / "results.csv"
    write_results(path, columns, rows)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_added_columns_are_the_first_of_the_contract(tmp_path: Path) -> None:
    """In its order: a script that reads a column by name or by place keeps working."""
    (header,) = written(tmp_path, ["prompt"])

    added = header[1:]
    assert len(added) >= 10
    assert added == CONTRACT_COLUMNS[: len(added)]


@pytest.mark.parametrize("column", RESULT_COLUMNS)
def test_reading_back_ignores_exactly_the_columns_that_were_added(
    tmp_path: Path, column: str
) -> None:
    """A user's column with the name of an added one comes back under its own name."""
    names = ["prompt", column, "campaign"]
    row = ResultRow(job="fox", columns={"prompt": "-fox", column: "x"}, record=RECORD)
    header, _ = written(tmp_path, names, row)
    assert header[1] == f"input.{column}"

    options = RowOptions(model="a/b")
    manifest = open_manifest(str(tmp_path / "results.csv"), options, NoSchemas())
    (job,) = (one for one in manifest.rows() if isinstance(one, Job))

    assert list(manifest.columns) == names
    assert job.input == {"prompt": "-fox"}


def test_a_job_has_its_cells_and_several_values_one_per_line(tmp_path: Path) -> None:
    """A text that a spreadsheet would run as a formula is defused; the cost is of all attempts."""
    row = ResultRow(job="fox", columns={"prompt": "-fox"}, record=RECORD)

    header, cells = written(tmp_path, ["prompt"], row)

    found = dict(zip(header, cells, strict=True))
    assert found["prompt"] == "'-fox"
    assert found["outputs"] == "https://x/1\nhttps://x/2"
    assert found["files"] == "outputs/fox-1.png"
    assert found["cost_usd"] == "0.75"
    assert found["attempts"] == "2"
    assert found["error"] == "generation: =1+1"


@pytest.mark.parametrize(
    ("problems", "state"),
    [((), "pending"), (("m.csv:2: no prompt", "m.csv:2: too big"), "invalid")],
)
def test_a_row_without_a_record_holds_no_data_of_a_job(
    problems: tuple[str, ...], state: str
) -> None:
    """Only its name, its state and what is wrong with it."""
    cells = result_cells(ResultRow(job="fox", columns={}, record=None, problems=problems))

    assert tuple(cells) == RESULT_COLUMNS
    assert {name: cell for name, cell in cells.items() if cell} == {
        "job": "fox",
        "state": state,
        "attempts": "0",
        **({"error": "\n".join(problems)} if problems else {}),
    }


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    """And an error in the middle of writing leaves the file of before."""
    path = tmp_path / "results.csv"
    row = ResultRow(job="fox", columns={"prompt": "a fox"}, record=RECORD)
    write_results(path, ["prompt"], [row])
    before = path.read_bytes()

    write_results(path, ["prompt"], [row])
    assert path.read_bytes() == before

    def failing() -> list[ResultRow]:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_results(path, ["prompt"], (one for _ in range(2) for one in failing()))
    assert path.read_bytes() == before
