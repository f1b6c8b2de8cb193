"""results.csv: what it adds to the user's columns, and that it can be read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core import spreadsheet
from batchgen.core.events import JobError, OutputFile
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.spreadsheet import RESULT_COLUMNS, carried_names, defuse, restore
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.row_options import RowOptions
from batchgen.reports.results_csv import ResultRow, result_cells, write_results
from tests.kit.live import write_csv
from tests.manifest.conftest import NoSchemas

CONTRACT_COLUMNS = [
    "job", "state", "request_id", "outputs", "files", "cost_usd", "attempts", "error",
    "submitted_at", "finished_at", "step", "take", "verdict", "note", "checks",
]  # fmt: skip
"""The added columns that users may rely on."""

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


def test_the_added_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    """In its order: a script that reads a column by name or by place keeps working."""
    (header,) = written(tmp_path, ["prompt"])

    assert header == ["prompt", *CONTRACT_COLUMNS]


def read_back(path: Path) -> tuple[list[str], list[Job], list[BadRow]]:
    """Return the columns, the jobs and the bad rows of a file that is read as a manifest."""
    manifest = open_manifest(str(path), RowOptions(model="a/b"), NoSchemas())
    rows = list(manifest.rows())
    jobs = [row for row in rows if isinstance(row, Job)]
    return list(manifest.columns), jobs, [row for row in rows if isinstance(row, BadRow)]


@pytest.mark.parametrize("column", [*RESULT_COLUMNS, "preview", "Job", "NOTE", "Preview"])
def test_reading_back_ignores_exactly_the_columns_that_were_added(
    tmp_path: Path, column: str
) -> None:
    """A user's column with the name of an added one comes back under its own name."""
    names = ["prompt", column, "campaign"]
    row = ResultRow(job="fox", columns={"prompt": "-fox", column: "x"}, record=RECORD)
    header, _ = written(tmp_path, names, row)
    assert header[1] == f"input.{column}"

    columns, (job,), bad = read_back(tmp_path / "results.csv")

    assert (columns, bad) == (names, [])
    assert job.input == {"prompt": "-fox"}
    assert job.columns[column] == "x"


NAMES = st.lists(
    st.sampled_from(["state", "note", "input.state", "=x", "'=x", "campaign"]),
    unique=True,
)


@given(names=NAMES)
def test_no_two_columns_of_the_results_have_one_name(names: list[str]) -> None:
    """Also if the user has a column with the prefix that is added."""
    header = [*carried_names(names), *RESULT_COLUMNS]

    assert len(set(header)) == len(header)
    if "input.state" not in names or "state" in names:
        found, ignored = spreadsheet.read_back([defuse(name) for name in header])
        assert list(found[: len(names)]) == names
        assert ignored == set(range(len(names), len(header)))


def test_results_of_an_earlier_version_are_read_back(tmp_path: Path) -> None:
    """They have ten added columns; a column `note` or `take` is the user's own there."""
    path = tmp_path / "results.csv"
    names = ["prompt", "note", "preview", "input.state"]
    write_csv(path, ["a fox,new,p,draft,fox,downloaded,r,u,f,0.03,1,,,"],
              ",".join([*names, *RESULT_COLUMNS[:10]]))  # fmt: skip

    columns, (job,), bad = read_back(path)

    assert (columns, bad) == (["prompt", "note", "preview", "state"], [])
    assert job.columns == {"prompt": "a fox", "note": "new", "preview": "p", "state": "draft"}


@pytest.mark.parametrize("column", RESULT_COLUMNS)
def test_a_column_of_a_file_that_is_not_ours_is_carried(tmp_path: Path, column: str) -> None:
    """Whatever it is called: only all of the added columns together make a file of results."""
    path = write_csv(tmp_path / "m.csv", ["a fox,mine"], f"prompt,{column}")

    columns, (job,), _ = read_back(path)

    assert columns == ["prompt", column]
    assert job.columns[column] == "mine"


def test_jobs_without_a_row_are_no_rows_when_results_are_read_back(tmp_path: Path) -> None:
    """They have no input columns, so there is nothing that could be submitted."""
    row = ResultRow(job="fox", columns={"prompt": "a fox"}, record=RECORD)
    gone = ResultRow(job="old", columns={}, record=RECORD)
    written(tmp_path, ["prompt"], row, gone)

    _, jobs, bad = read_back(tmp_path / "results.csv")

    assert ([job.input for job in jobs], bad) == ([{"prompt": "a fox"}], [])


LINE_BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@given(
    cells=st.lists(
        st.lists(st.sampled_from(["a", "=1", " ", ",", '"', "'", *LINE_BREAKS])).map("".join),
        min_size=1,
    )
)
def test_a_cell_with_a_line_break_of_any_kind_is_one_quoted_cell(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    """A program that takes it for the end of a line would see a formula that nobody has defused."""
    tmp_path = tmp_path_factory.mktemp("results")
    names = [f"c{n}" for n in range(len(cells))]
    row = ResultRow(job="fox", columns=dict(zip(names, cells, strict=True)), record=None)

    _, found = written(tmp_path, names, row)

    assert [restore(cell) for cell in found[: len(cells)]] == cells
    raw = (tmp_path / "results.csv").read_bytes().decode()
    outside = "".join(raw.split('"')[::2])
    assert set(outside).isdisjoint({*"".join(LINE_BREAKS)} - {"\n"})
    assert outside.count("\n") == 2


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
    assert [found[name] for name in CONTRACT_COLUMNS[10:]] == ["", "1", "", "", ""]
    assert found["error"] == "generation: =1+1"


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ((), {"state": "pending", "attempts": "0"}),
        (("m.csv:2: no prompt", "m.csv:2: too big"),
         {"state": "invalid", "error": "m.csv:2: no prompt\nm.csv:2: too big"}),
    ],
)  # fmt: skip
def test_a_row_without_a_record_holds_no_data_of_a_job(
    problems: tuple[str, ...], expected: dict[str, str]
) -> None:
    """Only its name, its state and what is wrong with it."""
    cells = result_cells(ResultRow(job="fox", columns={}, record=None, problems=problems))

    assert tuple(cells) == RESULT_COLUMNS
    assert {name: cell for name, cell in cells.items() if cell} == {"job": "fox", **expected}


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
