"""One cell far outside of a workbook's table costs no memory, and is named."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest

from tests.manifest.conftest import Read, problems_of
from tests.manifest.workbooks import workbook

TABLE = [["prompt", "scale"], *([f"p{number}", 0.5] for number in range(20))]
STRAY = '<row r="{row}"><c r="{place}" t="inlineStr"><is><t>x</t></is></c></row>'


def with_sheet(edit: str, *, before: str = "</sheetData>", xml: str | None = None) -> bytes:
    """Return a workbook of 20 rows with this XML in its sheet, or with another sheet."""
    source = zipfile.ZipFile(io.BytesIO(workbook({"S": TABLE})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            text = source.read(name).decode()
            if "worksheets" in name:
                text = xml or text.replace(before, edit + before, 1)
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("place", "row"),
    [("XFD1048576", 1048576), ("XFD10000", 10000), ("ZZ100000", 100000), ("A1048576", 1048576),
     ("XFD500", 500), ("FXSHRXW4294967295", 4294967295)],
)  # fmt: skip
@pytest.mark.parametrize("form", ["plain", "prefix and single quotes", "first", "without place"])
def test_a_stray_cell_is_named_and_costs_no_memory(
    read: Read, place: str, row: int, form: str
) -> None:
    """Wherever it is written in the sheet, in every form that the library reads."""
    cell = STRAY.format(place=place, row=row)
    before = "</sheetData>"
    if form == "prefix and single quotes":
        cell = (
            cell.replace('"', "'").replace("<c ", "<x:c xmlns:x='urn:x' ").replace("</c", "</x:c")
        )
    elif form == "first":
        before = '<row r="1">'
    elif form == "without place":
        cell = cell.replace(f' r="{place}"', "", 1)
        if "A1048576" not in place:
            pytest.skip("without a place, a cell is in the first column")
    content = with_sheet(cell, before=before)
    tracemalloc.start()

    problems = problems_of(read, "a.xlsx", content)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(problems) == 1
    assert problems[0].startswith("a.xlsx: has a cell far outside of the table (")
    assert place in problems[0]
    assert peak < 20_000_000


def test_empty_cells_far_outside_are_nothing(read: Read) -> None:
    """Office programs write those for a column that was formatted as a whole."""
    cells = "".join(f'<row r="{row}"><c r="XFD{row}" s="1"/></row>' for row in (5000, 1048576))
    assert len(read("a.xlsx", with_sheet(cells)).jobs) == 20


def test_a_large_table_and_a_wide_gap_are_no_strays(read: Read) -> None:
    """Blank rows in between, or a note some columns away, cost little."""
    gap = STRAY.format(place="A3000", row=3000)
    assert len(read("a.xlsx", with_sheet(gap)).jobs) == 21


@pytest.mark.parametrize(
    "xml",
    [
        "<worksheet><sheetData><row><c r='XFD1048576'><v>1</v></c>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><worksheet><sheetData><row/></sheetData></worksheet>",
        "<worksheet>&nothing;<sheetData/></worksheet>",
        "junk<worksheet><sheetData><row r='1048576'><c><v>1</v></c></row></sheetData></worksheet>",
    ],
)
def test_a_sheet_that_cannot_be_followed_is_refused(read: Read, xml: str) -> None:
    """The library is more patient with XML, so it never sees what was not measured."""
    problems = problems_of(read, "a.xlsx", with_sheet("", xml=xml))
    assert "cannot be read as an Excel workbook" in problems[0]
