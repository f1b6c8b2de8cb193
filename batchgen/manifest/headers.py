"""Header rows: from cells to the names of columns, with what no header may be."""

from __future__ import annotations

from collections.abc import Sequence

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.formula import restore
from batchgen.manifest.header import Header, column_letter

MAX_COLUMNS = 2000
"""Columns of a spreadsheet; a file with more has another delimiter than it seems."""
MAX_NAME = 200
"""Characters of a column's name."""

ADDED_BY_US = (
    "job", "state", "request_id", "outputs", "files", "cost_usd", "attempts", "error",
    "submitted_at", "finished_at",
)  # fmt: skip
"""What our results file has after the input columns."""


def sheet_header(cells: Sequence[str], *, file: str, row: int, decimal_comma: bool) -> Header:
    """The header of a spreadsheet. Raises `ManifestError` for one that cannot name columns."""
    where = f"{file}:{row}"
    if len(cells) > MAX_COLUMNS:
        what = f"has {len(cells):,} columns; at most {MAX_COLUMNS:,} are allowed"
        raise ManifestError([Problem(where, what)])
    names = tuple(" ".join(cell.split()) for cell in cells)
    ignored = added_by_us(names)
    if ignored:
        names = tuple(_original(name) for name in names)
    problems = [*_bad_names(names, where), *_twice(names, ignored, where)]
    if problems:
        raise ManifestError(problems)
    return Header(
        file=file,
        names=names,
        row=row,
        decimal_comma=decimal_comma,
        ignored=ignored,
        defused=bool(ignored),
    )


def added_by_us(names: Sequence[str]) -> frozenset[int]:
    """Which columns our results file added; none where the header is not that of such a file.

    A column called `state` or `error` alone is somebody's own: all must be there, side by side.
    """
    folded = tuple(name.casefold() for name in names)
    for start in range(len(folded) - len(ADDED_BY_US), -1, -1):
        if folded[start : start + len(ADDED_BY_US)] == ADDED_BY_US:
            return frozenset(range(start, start + len(ADDED_BY_US)))
    return frozenset()


def _original(name: str) -> str:
    """An input column that had the name of one of ours was carried as `input.NAME`."""
    bare = restore(name).removeprefix("input.")
    return bare if bare in ADDED_BY_US else restore(name)


def _bad_names(names: Sequence[str], where: str) -> list[Problem]:
    problems = []
    for index, name in enumerate(names):
        place = f"{where}: column {column_letter(index)}"
        if len(name) > MAX_NAME:
            problems.append(
                Problem(place, f"a name of {len(name):,} characters; is this a header?")
            )
        elif not name.isprintable():
            problems.append(Problem(place, f"a control character in the name {name!r}; remove it"))
    return problems


def _twice(names: Sequence[str], ignored: frozenset[int], where: str) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for index, name in enumerate(names):
        if index in ignored:
            continue
        other = first.setdefault(name.casefold(), index)
        if name and other != index:
            both = f"columns {column_letter(other)} and {column_letter(index)}"
            problems.append(Problem(where, f"{name!r} names {both}; rename one"))
    return problems
