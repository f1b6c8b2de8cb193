"""CSV and TSV: an exported spreadsheet becomes the rows that its user sees in it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.manifest.conftest import Read


def test_a_plain_row_becomes_a_job(read: Read) -> None:
    """A row is sent in the schema's types, and its cells are carried unchanged."""
    seen = read("a.csv", "id,prompt,size,scale,note\n007,A fox,2048x2048,0.50,mine\n")
    (job,) = seen.jobs
    assert job.id == "007"
    assert job.input == {"prompt": "A fox", "width×height": "2048x2048(1:1)", "scale": 0.5}
    assert job.columns == {
        "id": "007", "prompt": "A fox", "size": "2048x2048", "scale": "0.50", "note": "mine",
    }  # fmt: skip
    assert str(job.where) == "a.csv:2"
    assert seen.manifest.columns == ("id", "prompt", "size", "scale", "note")


def test_only_what_was_given_is_sent(read: Read) -> None:
    """Empty cells and the schema's own defaults are not in the body."""
    assert read("a.csv", "prompt,scale,size\nA fox,,  \n").jobs[0].input == {"prompt": "A fox"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_what_spreadsheets_export_is_detected(
    read: Read, delimiter: str, end: str, encoding: str
) -> None:
    """Delimiter, line ends and encoding are detected, and none of them changes a prompt."""
    rows = [["id", "prompt", "scale"], ["1", "Ein Fuchs, größer; schöner", "0.5"], ["2", "b", "1"]]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    seen = read("a.csv", text.getvalue().encode(encoding))
    assert seen.prompts == ["Ein Fuchs, größer; schöner", "b"]
    assert [job.input["scale"] for job in seen.jobs] == [0.5, 1]
    assert seen.ids == ["1", "2"]


def test_decimal_commas_are_numbers_in_semicolon_files_only(read: Read) -> None:
    """`0,5` is a half if semicolons separate, and otherwise a mistake with a hint."""
    assert read("a.csv", "prompt;scale\nA fox;0,5\n").jobs[0].input["scale"] == 0.5
    (problem,) = read("b.csv", 'prompt,scale\nA fox,"0,5"\n').problems
    assert problem == "b.csv:2: scale (column B): expected a number, got '0,5'; write '0.5'"


def test_rows_are_numbered_as_the_spreadsheet_does(read: Read) -> None:
    """A quoted line break takes no number, a blank row does, and blank rows are skipped."""
    seen = read("a.csv", 'prompt,scale\n"two\nlines",1\n\n , \nfox,7\n')
    assert [str(job.where) for job in seen.jobs] == ["a.csv:2"]
    assert seen.problems[0].startswith("a.csv:5: scale (column B): 7 is above the maximum 1")


def test_a_file_saved_elsewhere_gives_the_same_jobs(read: Read) -> None:
    """Line ends inside a cell are line feeds in the prompt, so that nothing is paid twice."""
    unix = read("a.csv", 'prompt\n"two\nlines"\n')
    windows = read("b.csv", 'prompt\r\n"two\r\nlines"\r\n')
    mac = read("c.csv", 'prompt\r"two\rlines"\r')
    assert unix.prompts == ["two\nlines"]
    assert unix.ids == windows.ids == mac.ids


def test_excels_separator_line_is_not_a_row(read: Read) -> None:
    """`sep=;` names the delimiter; Excel does not show it, so the header is still row 1."""
    seen = read("a.csv", "sep=|\nprompt|scale\na, b; c|9\n")
    assert seen.problems[0].startswith("a.csv:2: scale")


def test_a_tsv_with_unpaired_quotes_is_read_as_unquoted(read: Read) -> None:
    """Quotes that wrap no cell are letters and stay in the prompt."""
    seen = read("a.tsv", 'Prompt\tNote\n"G I G" in ink\tx\n5" tall\ty\n"open\tz\n')
    assert seen.prompts == ['"G I G" in ink', '5" tall', '"open']


def test_a_tsv_with_paired_quotes_is_unwrapped(read: Read) -> None:
    """Quotes that wrap cells are not in the prompt; a tab inside them separates nothing."""
    seen = read("a.tsv", 'prompt\tnote\n"a ""b""\nc"\tx\n"d\te"\ty\n')
    assert seen.prompts == ['a "b"\nc', "d\te"]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them(read: Read) -> None:
    """Quotes that would pair over several rows are letters."""
    seen = read("a.tsv", 'prompt\tnote\n"one\tx\ntwo\ty\nthree"\tz\n')
    assert seen.prompts == ['"one', "two", 'three"']


def test_a_ragged_row_is_an_error_and_the_rest_is_read(read: Read) -> None:
    """Neither missing nor extra cells are guessed at."""
    seen = read("a.csv", "prompt,note\na,b,c\nd\ne,f\n")
    assert seen.problems == [
        "a.csv:2: has 3 cells, the header has 2; put a text that has a comma in it in quotes",
        "a.csv:3: has 1 cell, the header has 2",
    ]
    assert seen.prompts == ["e"]


def test_columns_without_a_name_are_carried_by_their_letter(read: Read) -> None:
    """A note beside the table stays with its row; blank columns do not show."""
    seen = read("a.csv", "prompt,,,\na,,see me,\nb,,,\n")
    assert [dict(job.columns) for job in seen.jobs] == [
        {"prompt": "a", "column C": "see me"},
        {"prompt": "b"},
    ]


def test_our_own_results_can_be_read_back(read: Read) -> None:
    """The columns that we added are ignored, defused cells and renamed columns are restored."""
    added = "job,state,request_id,outputs,files,cost_usd,attempts,error,submitted_at,finished_at"
    seen = read(
        "results.csv",
        f"prompt,input.state,scale,{added}\n'=A fox,draft,0.5,j1,failed,r,,,,1,bad,,\n",
    )
    (job,) = seen.jobs
    assert job.input == {"prompt": "=A fox", "scale": 0.5}
    assert job.columns == {"prompt": "=A fox", "state": "draft", "scale": "0.5"}


def test_a_state_column_of_the_user_is_carried(read: Read) -> None:
    """Names that we add are ignored only if all of them are there, side by side."""
    others = ",".join(f"c{n}" for n in range(10))
    seen = read("a.csv", f"prompt,job,state,error,{others}\n'=a,painter,Bavaria,none{',' * 10}\n")
    assert seen.jobs[0].columns["state"] == "Bavaria"
    assert seen.prompts == ["'=a"]


def test_the_delimiter_is_that_of_the_header_row(read: Read) -> None:
    """A title above the header has delimiters of its own and decides nothing."""
    text = "Campaign, spring, 2026\n\nprompt;scale\na, b;0,5\n"
    seen = read("m.yaml", "prompts: a.csv\nheader_row: 3\n", files={"a.csv": text})
    assert seen.jobs[0].input == {"prompt": "a, b", "scale": 0.5}
    assert seen.jobs[0].where.row == 4


CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), min_size=1
).filter(lambda cell: cell.strip() and len(cell) <= 800)
MEANT = CELLS.filter(lambda cell: len(cell.strip()) > 12 or cell.strip()[0] not in "#nuLlN<U")
"""Without what nobody can have meant as a prompt: `nan`, `#REF!`, `Loading...` and their like."""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.tuples(MEANT, CELLS), min_size=1, max_size=8))
def test_any_text_comes_through(read: Read, cells: list[tuple[str, str]]) -> None:
    """Text that a csv writer wrote is sent and carried, whatever is in it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([("prompt", "comment"), *cells])
    seen = read("a.csv", text.getvalue())
    assert seen.problems == []
    assert seen.prompts == [prompt for prompt, _ in cells]
    assert [job.columns["comment"] for job in seen.jobs] == [comment for _, comment in cells]
