"""Workbooks: a cell that holds something is never read as "not given"."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from batchgen.core.errors import ManifestError
from tests.manifest.conftest import OneSchema, Read, problems_of
from tests.manifest.workbooks import sheet_of, text_cell, workbook

HEADER = ["id", "prompt", "scale", "enabled", "repeat", "note", "model"]
LETTERS = "ABCDEFG"
NO_VALUE = "the formula has no stored value; open the workbook, compute and save it"
FAILED = [
    ('t="e"><f>NA()</f><v>#N/A</v></c>', "the formula gives #N/A"),
    ('t="e"><v>#REF!</v></c>', "the formula gives #REF!"),
    ("t='e'><f ca=\"1\">LEMON()</f><v>#NAME?</v></c>", "the formula gives #NAME?"),
    ('s="3" t="e"><f t="shared" si="0"/><v>#DIV/0!</v></c>', "the formula gives #DIV/0!"),
    ("><f>A1+1</f></c>", NO_VALUE),
    ("><f>A1+1</f><v></v></c>", NO_VALUE),
    ("><f>A1+1</f><v/></c>", NO_VALUE),
    ('t="str"><f>A1</f></c>', NO_VALUE),
]


def _row(number: int, cells: str, attributes: str = "") -> str:
    return f'<row r="{number}"{attributes}>{cells}</row>'


def _texts(number: int, texts: list[str]) -> str:
    return "".join(
        text_cell(f"{letter}{number}", text)
        for letter, text in zip(LETTERS, texts, strict=False)
        if text
    )


def _with_cell(column: str, cell: str) -> bytes:
    """Return a workbook whose second row has a raw cell in one of the columns."""
    index = HEADER.index(column)
    values = ["a", "A lemon", "0.5", "yes", "1", "mine", "bytedance/dreamina-4-0/text-to-image"]
    cells = [text_cell(f"{letter}2", text) for letter, text in zip(LETTERS, values, strict=True)]
    cells[index] = f'<c r="{LETTERS[index]}2" {cell}'
    last = _row(3, _texts(3, ["b", "A kite"]))
    return workbook({"S": sheet_of(_row(1, _texts(1, HEADER)) + _row(2, "".join(cells)) + last)})


@pytest.mark.parametrize("column", HEADER)
@pytest.mark.parametrize(("cell", "what"), FAILED)
def test_a_cell_that_could_not_be_computed_is_an_error_in_any_column(
    read: Read, column: str, cell: str, what: str
) -> None:
    """With row, column and what the person sees there; the other rows are read."""
    seen = read("a.xlsx", _with_cell(column, cell))
    letter = LETTERS[HEADER.index(column)]
    assert seen.problems == [f"a.xlsx:2: {column} (column {letter}): {what}"]
    assert seen.ids == ["b"]


@pytest.mark.parametrize("column", ["id", "scale", "enabled", "repeat", "note", "model"])
@pytest.mark.parametrize(
    "cell", ["/>", 't="str"><f>""</f><v></v></c>', 't="str"><f>""</f><v/></c>', 's="1"></c>']
)
def test_an_empty_cell_and_a_formula_with_an_empty_text_are_not_given(
    read: Read, column: str, cell: str
) -> None:
    """Nobody sees anything there."""
    seen = read("a.xlsx", _with_cell(column, cell))
    assert seen.problems == []
    assert len(seen.jobs) == 2


def test_a_row_of_nothing_but_a_failed_cell_is_not_blank(read: Read) -> None:
    """Somebody wanted a job there."""
    rows = _row(1, text_cell("A1", "prompt")) + _row(2, '<c r="A2" t="e"><v>#NAME?</v></c>')
    assert problems_of(read, "a.xlsx", workbook({"S": sheet_of(rows)})) == [
        "a.xlsx:2: prompt (column A): the formula gives #NAME?"
    ]


def test_a_failed_cell_matters_only_if_its_value_would_be_used(read: Read) -> None:
    """Not in a row that is switched off or not selected, nor in a column that was dropped."""
    failed = '<c r="B2" t="e"><v>#N/A</v></c>'
    rows = _row(1, _texts(1, ["prompt", "scale", "enabled"]))
    rows += _row(2, text_cell("A2", "one") + failed + text_cell("C2", "no"))
    rows += _row(3, text_cell("A3", "two") + failed.replace("B2", "B3"))
    rows += _row(4, text_cell("A4", "three"))
    content = workbook({"S": sheet_of(rows)})
    message = "a.xlsx:3: scale (column B): the formula gives #N/A"
    assert problems_of(read, "a.xlsx", content) == [message]
    assert read("a.xlsx", content, select="prompt = three").prompts == ["three"]
    assert message in problems_of(read, "a.xlsx", content, select="scale = 1")
    assert read("a.xlsx", content, drop=("Scale",)).prompts == ["two", "three"]


def test_a_table_may_begin_in_any_column_and_row(read: Read) -> None:
    """Letters and numbers in messages are those that the spreadsheet shows."""
    rows = _row(3, text_cell("D3", "prompt") + text_cell("E3", "scale"))
    rows += _row(4, text_cell("D4", "a") + text_cell("E4", "7"))
    rows += _row(5, text_cell("D5", "b") + '<c r="E5" t="e"><v>#N/A</v></c>')
    assert problems_of(read, "a.xlsx", workbook({"S": sheet_of(rows)})) == [
        "a.xlsx:4: scale (column E): 7 is above the maximum 1; allowed 0 to 1",
        "a.xlsx:5: scale (column E): the formula gives #N/A",
    ]


SEEDED = OneSchema({"prompt": {"type": "string"}, "seed": {"type": "integer"}}, required=["prompt"])


@pytest.mark.parametrize(
    "number", ["0", "7", "4006381333931011", "9007199254740991", "9007199254740992", "-12"]
)
def test_a_whole_number_keeps_its_digits(read: Read, number: str) -> None:
    """As an id, as a parameter, and if it is carried."""
    rows = _row(1, _texts(1, ["id", "prompt", "seed", "note"]))
    cells = "".join(f'<c r="{letter}2"><v>{number}</v></c>' for letter in "ACD")
    content = workbook({"S": sheet_of(rows + _row(2, cells + text_cell("B2", "a")))})
    (job,) = read("a.xlsx", content, schemas=SEEDED).jobs
    assert (job.id, job.input["seed"], job.columns["note"]) == (number, int(number), number)


@pytest.mark.parametrize(
    "number", ["9007199254740993", "40063813339310112", "-9007199254740993", "1e20", "1.5E+17"]
)
@pytest.mark.parametrize("column", ["id", "seed", "prompt"])
def test_a_number_that_no_cell_can_hold_is_an_error(read: Read, number: str, column: str) -> None:
    """Unless it is only carried, where nothing depends on its last digits."""
    names = ["id", "prompt", "seed", "note"]
    letter = "ABCD"[names.index(column)]
    values = {"A": text_cell("A2", "x"), "B": text_cell("B2", "a"), "C": text_cell("C2", "1")}
    cells = "".join((values | {letter: f'<c r="{letter}2"><v>{number}</v></c>'}).values())
    content = workbook({"S": sheet_of(_row(1, _texts(1, names)) + _row(2, cells))})
    (problem,) = problems_of(read, "a.xlsx", content, schemas=SEEDED)
    assert problem.startswith(f"a.xlsx:2: {column} (column {letter}): ")
    assert problem.endswith("format the column as text")

    cells = text_cell("B2", "a") + f'<c r="D2"><v>{number}</v></c>'
    carried = workbook({"S": sheet_of(_row(1, _texts(1, names)) + _row(2, cells))})
    assert read("b.xlsx", carried, schemas=SEEDED).problems == []


def test_numbers_are_as_people_see_them(read: Read) -> None:
    """5.0 is 5, and a sum in binary has no tail."""
    content = workbook({"S": [["prompt", "a", "b"], ["x", 5.0, 0.1 + 0.2]]})
    (job,) = read("a.xlsx", content).jobs
    assert (job.columns["a"], job.columns["b"]) == ("5", "0.3")


def _dated(value: str, code: str) -> bytes:
    rows = _row(1, _texts(1, ["prompt", "when"]))
    rows += _row(2, text_cell("A2", "x") + f'<c r="B2" s="1"><v>{value}</v></c>')
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook({"S": sheet_of(rows)}))) as old:
        parts = {name: old.read(name).decode() for name in old.namelist()}
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    parts["xl/styles.xml"] = (
        f'<styleSheet xmlns="{main}"><numFmts count="1"><numFmt numFmtId="164" '
        f'formatCode="{code}"/></numFmts><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="164"/></cellXfs></styleSheet>'
    )
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    link = f'<Relationship Id="rId9" Type="{office}/styles" Target="styles.xml"/>'
    links = "xl/_rels/workbook.xml.rels"
    parts[links] = parts[links].replace("</Relationships>", f"{link}</Relationships>")
    with zipfile.ZipFile(buffer, "w") as new:
        for name, text in parts.items():
            new.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [("1.0833333333333333", "[h]:mm", "26:00:00"), ("0.25", "[h]:mm", "6:00:00"),
     ("4.5", "[h]:mm:ss", "108:00:00"), ("45000", "yyyy-mm-dd", "2023-03-15"),
     ("45000.1", "yyyy-mm-dd hh:mm", "2023-03-15 02:24:00"), ("0.5", "hh:mm", "12:00:00")],
)  # fmt: skip
def test_dates_and_durations_are_readable(read: Read, value: str, code: str, text: str) -> None:
    """26 hours are 26 hours, not a day and two."""
    (job,) = read("a.xlsx", _dated(value, code)).jobs
    assert job.columns["when"] == text


def test_the_plan_names_the_sheet_and_the_other_sheets(read: Read) -> None:
    """The first sheet that is shown and has something in it is read."""
    sheets = {"~Lists": [["x"]], "Empty": [], "Spring": [["prompt"], ["a"]], "Notes": [["b"]]}
    seen = read("a.xlsx", workbook(sheets))  # type: ignore[arg-type]
    assert seen.prompts == ["a"]
    (note,) = seen.manifest.notes[:1]
    assert note == "a.xlsx: read from sheet 'Spring'; not from '~Lists', 'Empty', 'Notes'"


def test_hidden_rows_are_left_out_with_a_note(read: Read) -> None:
    """Unless they are asked for; a filter that hides rows is a choice that the user sees."""
    rows = _row(1, _texts(1, ["id", "prompt"])) + _row(2, _texts(2, ["a", "one"]))
    rows += _row(3, _texts(3, ["b", "two"]), ' hidden="1"')
    rows += '<row hidden="true" spans="1:2" r="4">' + _texts(4, ["a", "again"]) + "</row>"
    content = workbook({"S": sheet_of(rows)})
    seen = read("a.xlsx", content)
    assert seen.prompts == ["one"]
    assert seen.problems == []
    assert "a.xlsx: 2 hidden rows were left out (3, 4); to use them: --include-hidden" in (
        seen.manifest.notes
    )
    everything = read("a.xlsx", content, include_hidden=True)
    assert everything.prompts[:2] == ["one", "two"]
    assert "'a' is the id of a.xlsx:2 too" in everything.problems[0]


def test_a_workbook_with_hidden_rows_only_says_so(read: Read) -> None:
    """A filter that matches nothing is not a broken file."""
    rows = _row(1, _texts(1, ["prompt"])) + _row(2, _texts(2, ["one"]), ' hidden="1"')
    (problem,) = problems_of(read, "a.xlsx", workbook({"S": sheet_of(rows)}))
    assert "rows are hidden; to use them: --include-hidden" in problem


def test_merged_cells_show_their_value_in_each_row(read: Read) -> None:
    """It is carried, and an error in a column that decides about jobs: nobody filled it in."""
    rows = _row(1, _texts(1, ["prompt", "scale", "market"]))
    rows += _row(2, _texts(2, ["one", "0.5", "DE"])) + _row(3, _texts(3, ["two"]))
    carried = sheet_of(rows, '<mergeCells count="1"><mergeCell ref="C2:C3"/></mergeCells>')
    seen = read("a.xlsx", workbook({"S": carried}))
    assert [job.columns["market"] for job in seen.jobs] == ["DE", "DE"]
    sent = sheet_of(rows, '<mergeCells count="1"><mergeCell ref="B2:B3"/></mergeCells>')
    assert problems_of(read, "b.xlsx", workbook({"S": sent})) == [
        "b.xlsx:3: scale (column B): is merged with B2; unmerge the cells and fill in each"
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.xls", b"", "is an old Excel workbook"), ("a.ods", b"", "OpenDocument"),
        ("a.numbers", b"", "Apple Numbers"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 99, "is an old Excel workbook (.xls)"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"),
         "is protected by a password"),
        ("a.xlsx", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        ("a.xlsx", b"<!DOCTYPE html><html></html>", "a web page"),
    ],
)  # fmt: skip
def test_a_file_of_another_program_is_named(
    read: Read, name: str, content: bytes, what: str
) -> None:
    """With what to do about it."""
    with pytest.raises(ManifestError) as caught:
        read(name, content)
    assert what in str(caught.value)
    assert any(word in str(caught.value) for word in ("save", "export", "git lfs pull"))


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("xl/workbook.bin", ".xlsb"),
        ("Index/Document.iwa", "Numbers"),
        ("word/document.xml", "Word"),
    ],
)
def test_an_archive_of_another_program_is_named(read: Read, part: str, what: str) -> None:
    """Also under the wrong name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(part, "x")
    assert what in problems_of(read, "a.xlsx", buffer.getvalue())[0]


def test_a_large_workbook_with_formulas_takes_seconds(read: Read) -> None:
    """The sheet is searched, not parsed cell by cell."""
    cell = '<c r="C{0}"><f>B{0}*2</f><v>0.5</v></c>'
    rows = _row(1, _texts(1, ["id", "prompt", "scale"])) + "".join(
        _row(n, text_cell(f"A{n}", f"i{n}") + text_cell(f"B{n}", "x") + cell.format(n))
        for n in range(2, 20_000)
    )
    rows += _row(20_000, text_cell("B20000", "y") + '<c r="C20000" t="e"><v>#N/A</v></c>')
    content = workbook({"S": sheet_of(rows)})
    begun = time.monotonic()
    seen = read("a.xlsx", content)
    assert time.monotonic() - begun < 20
    assert len(seen.jobs) == 19_998
    assert seen.problems == ["a.xlsx:20000: scale (column C): the formula gives #N/A"]
