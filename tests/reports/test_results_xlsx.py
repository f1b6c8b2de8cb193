"""results.xlsx, as two other libraries read it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.spreadsheet import RESULT_COLUMNS
from batchgen.reports import thumbnails
from batchgen.reports.results_csv import ResultRow, TakeRow, result_cells
from batchgen.reports.results_xlsx import MAX_CELL, write_workbook
from batchgen.reports.thumbnails import Thumbnails, thumbnail
from batchgen.system.run_directory import RunDirectory

openpyxl = pytest.importorskip("openpyxl")

HOSTILE = (
    "=1+1", '=HYPERLINK("http://x","y")', "@SUM(A1)", "+1", "-2", "'quoted", "{=A1}",
    "_x0041_ literal", "\x00\x01\x0b", "\ud800 half", "\ufffe", "<b>&amp;</b>", "http://x/", "1e5",
    "007", " outer ", "line\nbreak", "mailto:a@b.c", "internal:'x'!A1", "external:c:\\x", "#N/A",
)  # fmt: skip


def row(job: str, *paths: str, verdict: str = "", **columns: str) -> ResultRow:
    files = tuple(OutputFile(path=path, bytes=1, sha256="0") for path in paths)
    record = JobRecord(
        ts="t", job=job, state=JobState.DOWNLOADED, cost_usd=0.03, files=files, request_id="r"
    )
    take = TakeRow(take=1, state="downloaded", files=files, verdict=verdict)
    return ResultRow(job=job, columns=columns, record=record, takes=(take,))


def write(path: Path, rows: list[ResultRow], columns: tuple[str, ...] = ("prompt",)) -> Any:
    write_workbook(
        path / "results.xlsx", columns, rows, summary=lambda: [("jobs", len(rows))],
        picture_of=Thumbnails(directory=RunDirectory(path), size_px=120),
    )  # fmt: skip
    return openpyxl.load_workbook(path / "results.xlsx")


def test_layout(tmp_path: Path) -> None:
    """Filter, drop-down and frozen header reach the last row; the second sheet is the summary."""
    book = write(tmp_path, [row("a", prompt="x"), row("b", prompt="y"), row("c", prompt="z")])
    sheet = book.worksheets[0]

    assert book.sheetnames == ["results", "summary"]
    header = [cell.value for cell in sheet[1]]
    assert header == ["preview", "prompt", *RESULT_COLUMNS]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref.endswith("4")
    [validation] = sheet.data_validations.dataValidation
    column = openpyxl.utils.get_column_letter(header.index("verdict") + 1)
    assert str(validation.sqref) == f"{column}2:{column}4"
    assert validation.formula1 == '"keep,redo,reject"'


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_texts_are_texts(tmp_path: Path, text: str) -> None:
    """No cell is a formula or a link by its text alone, and two libraries read the same."""
    import python_calamine

    book = write(tmp_path, [row("j", prompt=text)])
    cell = book.worksheets[0]["B2"]

    assert cell.data_type == "s"
    assert cell.hyperlink is None
    parts = zipfile.ZipFile(tmp_path / "results.xlsx")
    assert not any(b"<f>" in parts.read(name) for name in parts.namelist())
    other = python_calamine.CalamineWorkbook.from_path(str(tmp_path / "results.xlsx"))
    found = other.get_sheet_by_index(0).to_python()[1][1]
    if text.isprintable() and "_x0041_" not in text:
        assert (cell.value, found) == (text, text)


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    """A cell of Excel holds no more."""
    book = write(tmp_path, [row("j", prompt="x" * 40_000)])
    assert len(book.worksheets[0]["B2"].value) == MAX_CELL


def test_links_and_pictures(tmp_path: Path) -> None:
    """The link is percent-encoded and relative; the picture is in the cell of its row."""
    Image.new("RGB", (640, 320), "red").save(tmp_path / "ä #1%.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    book = write(tmp_path, [row("a", "bad.png"), row("b", "ä #1%.png"), row("c", "gone.png")])
    sheet = book.worksheets[0]

    files = 3 + RESULT_COLUMNS.index("files")
    assert sheet.cell(3, files).hyperlink.target == "%C3%A4%20%231%25.png"
    assert sheet.cell(3, files).value == "ä #1%.png"
    [picture] = sheet._images
    assert (picture.anchor._from.row, picture.anchor._from.col) == (2, 0)
    assert (picture.width, picture.height) == (120, 60)


def bomb(path: Path, side: int) -> None:
    """Write a PNG of a few bytes that says it has very many pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [20_000, 100_000])
def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, side: int) -> None:
    """Its size is looked at first."""
    bomb(tmp_path / "bomb.png", side)
    assert thumbnail(tmp_path / "bomb.png", 120) is None


def test_cells_are_those_of_the_csv(tmp_path: Path) -> None:
    """Both files say the same of a job."""
    one = row("a", "outputs/a.png", verdict="keep", prompt="x")
    sheet = write(tmp_path, [one]).worksheets[0]

    cells = result_cells(one)
    found = [cell.value for cell in sheet[2]][2:]
    assert ["" if value is None else str(value) for value in found] == [*cells.values()]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing in it depends on the time."""
    write(tmp_path, [row("a", prompt="x")])
    first = (tmp_path / "results.xlsx").read_bytes()
    write(tmp_path, [row("a", prompt="x")])
    assert (tmp_path / "results.xlsx").read_bytes() == first


def test_no_rows(tmp_path: Path) -> None:
    """An empty batch has a workbook too."""
    assert write(tmp_path, []).worksheets[0].max_row == 1


def test_a_thumbnail_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later runs read it, also if there is no time to make any."""
    made, make = [], thumbnails._inspected
    monkeypatch.setattr(
        "batchgen.reports.thumbnails._inspected",
        lambda path, sizes: made.append(path.name) or make(path, sizes),
    )
    shown = with_digest(tmp_path, "a" * 64)
    pictures = Thumbnails(directory=RunDirectory(tmp_path), size_px=60)
    late = Thumbnails(directory=RunDirectory(tmp_path), size_px=60, has_time=lambda: False)

    first = pictures(shown)

    assert first is not None
    assert (pictures(shown), late(shown)) == (first, first)
    assert made == ["a.png"]


@pytest.mark.parametrize("digest", ["", "0", "../../out", "/tmp/x", "A" * 64, "a" * 63 + "/"])
def test_a_digest_in_a_ledger_is_no_path(tmp_path: Path, digest: str) -> None:
    """What is not a digest is kept nowhere."""
    run_dir = tmp_path / "deep" / "run"
    run_dir.mkdir(parents=True)
    pictures = Thumbnails(directory=RunDirectory(run_dir), size_px=60)

    assert pictures(with_digest(run_dir, digest)) is not None
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.png"]


def with_digest(run_dir: Path, digest: str) -> ResultRow:
    """Return a row with one picture, recorded with this digest."""
    Image.new("RGB", (90, 40), "teal").save(run_dir / "a.png")
    file = OutputFile(path="a.png", bytes=1, sha256=digest)
    record = JobRecord(ts="t", job="a", state=JobState.DOWNLOADED, files=(file,))
    take = TakeRow(take=1, state="downloaded", files=(file,))
    return ResultRow(job="a", columns={}, record=record, takes=(take,))
