"""`--select`: rows chosen by the cells of their columns."""

from __future__ import annotations

import pytest

from batchgen.core.errors import UsageError
from batchgen.manifest.select_expression import parse_selection
from tests.manifest.conftest import Read

ROW = {"Style": "Anime noir", "scale": "0.5", "n": "10", "empty": "", "a b": "x and y"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("style = anime noir", True), ("style=anime", False), ("style~NOIR", True),
        ("style != x", True), ("scale > 0.4", True), ("scale<0.5", False), ("n > 9", True),
        ("n = 10.0", True), ("empty =", True), ("empty != ''", False), ("gone = ''", True),
        ("scale > 0.1 and style ~ noir", True), ("scale > 0.1 AND n < 3", False),
        ("a b = 'x and y'", True), ("empty < 5", False),
    ],
)  # fmt: skip
def test_conditions_compare_cells(text: str, holds: bool) -> None:
    """Without case, numbers as numbers, quotes around what has `and` in it."""
    assert parse_selection(text).matches(ROW) is holds


def test_the_state_is_left_to_the_ledger() -> None:
    """Conditions on `state` do not use columns."""
    selection = parse_selection("state=failed and style ~ noir")
    assert selection.matches(ROW)
    assert selection.matches_state("failed")
    assert not selection.matches_state("pending")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("style", "not a condition"), ("= x", "not a condition"), ("", "not a condition"),
        ("state = faild", "did you mean 'failed'"),
    ],
)  # fmt: skip
def test_nonsense_is_a_usage_error(text: str, what: str) -> None:
    """With what would be right."""
    with pytest.raises(UsageError, match=what):
        parse_selection(text)


def test_a_trailing_and_is_part_of_the_value() -> None:
    """`and` joins only conditions."""
    assert parse_selection("a = 1 and").conditions[0].value == "1 and"


def test_selected_rows_keep_their_names(read: Read) -> None:
    """The same row has the same id whether others are selected or not."""
    text = "prompt,set\na,x\na,y\nb,y\n"
    everything = read("a.csv", text)
    assert read("a.csv", text, select="set = y").ids == everything.ids[1:]


def test_rows_that_are_not_selected_are_not_reported(read: Read) -> None:
    """A fault outside the selection does not stop it."""
    seen = read("a.csv", "prompt,scale,set\na,9,x\nb,1,y\n", select="set=y")
    assert (seen.prompts, seen.problems) == (["b"], [])


def test_our_words_work_for_mapped_columns(read: Read) -> None:
    """`prompt ~ fox` is about the column that holds the prompt."""
    how = {"columns": {"prompt": "Caption"}, "select": "prompt ~ fox"}
    seen = read("a.csv", "Caption\na fox\na dog\n", **how)
    assert seen.prompts == ["a fox"]


def test_a_column_that_no_row_has_is_an_error(read: Read) -> None:
    """It would silently select nothing."""
    seen = read("a.csv", "prompt,style\na,x\n", select="stlye = x")
    assert seen.problems == ["--select stlye = x: no column 'stlye'; did you mean 'style'?"]
    assert seen.bad[-1].fatal
