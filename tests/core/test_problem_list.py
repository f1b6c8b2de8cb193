"""Problems as they are reported: the first ones, and one line for what is the same in many rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.errors import SHOWN_PROBLEMS, Cause, Problem
from batchgen.core.problem_list import EVERY_ROW, FEW_ROWS, MANY_ROWS, ProblemList


def problem(row: int, what: str = "is empty", cause: Cause | None = None) -> Problem:
    """Return a problem of a row."""
    return Problem(f"a.csv:{row}: prompt (column A)", what, cause)


def lines(found: ProblemList) -> list[str]:
    """Return what is printed."""
    return [str(one) for one in found.shown()[0]]


@pytest.mark.parametrize("rows", [1, EVERY_ROW - 1, EVERY_ROW, MANY_ROWS, 3_000])
def test_what_is_the_same_in_every_row_is_one_problem_that_names_its_rows(rows: int) -> None:
    """A few rows are named one by one."""
    found = ProblemList()
    for row in range(2, rows + 2):
        found.add_row("a.csv", [problem(row)])

    shown, total = found.shown()

    if rows < EVERY_ROW:
        assert (len(shown), total) == (rows, rows)
        assert str(shown[0]) == "a.csv:2: prompt (column A): is empty"
    else:
        (one,) = shown
        assert total == 1
        assert str(one) == (
            f"a.csv:2: prompt (column A): is empty (in {rows:,} rows: 2 to {rows + 1})"
        )


def test_what_is_the_same_in_some_rows_is_one_problem_if_these_are_very_many() -> None:
    """Each of a few rows is named; so is each row if the words differ."""
    few, many, other = ProblemList(), ProblemList(), ProblemList()
    for found, rows in ((few, MANY_ROWS - 1), (many, MANY_ROWS), (other, MANY_ROWS)):
        found.add_good_row("a.csv")
        for row in range(2, rows + 2):
            found.add_row("a.csv", [problem(row, f"is {row}" if found is other else "is empty")])

    assert few.shown()[1] == MANY_ROWS - 1
    assert many.shown()[1] == 1
    assert other.shown()[1] == MANY_ROWS
    assert len(lines(other)) == SHOWN_PROBLEMS


@pytest.mark.parametrize("cause", FEW_ROWS)
def test_problems_with_one_cause_are_one_although_their_words_differ(cause: Cause) -> None:
    """The first is printed, with what can be done about all of them."""
    found = ProblemList()
    found.add_good_row("a.csv")
    for row in range(2, 2 + FEW_ROWS[cause]):
        found.add_row("a.csv", [problem(row, f"{row} is wrong", cause)])
    found.say_more(cause, "; do this")

    (line,) = lines(found)

    assert line.startswith("a.csv:2: prompt (column A): 2 is wrong; do this (in ")
    assert found.has(cause)


rows = st.lists(
    st.lists(st.sampled_from(["is empty", "is too long", "is no number"]), max_size=3, unique=True),
    max_size=300,
)


@given(rows=rows)
def test_no_problem_is_lost_and_their_order_is_that_of_the_file(rows: list[list[str]]) -> None:
    """Each kind is printed for its rows, or once; up to fifty lines, and a count."""
    found = ProblemList()
    for row, texts in enumerate(rows, 2):
        if texts:
            found.add_row("a.csv", [problem(row, text) for text in texts])
        else:
            found.add_good_row("a.csv")

    shown, total = found.shown()

    assert len(shown) == min(total, SHOWN_PROBLEMS)
    places = [one.place[1] or 0 for one in shown]
    assert places == sorted(places)
    kinds = {text for texts in rows for text in texts}
    if total <= SHOWN_PROBLEMS:
        assert {one.what.partition(" (in ")[0] for one in shown} == kinds
        count = sum(
            int(one.what.rpartition("(in ")[2].split()[0]) if "(in " in one.what else 1
            for one in shown
        )
        assert count == sum(map(len, rows))
    assert bool(found) == bool(kinds)
