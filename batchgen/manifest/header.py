"""The names of a row's values, and the record that stands below them.

A spreadsheet has one header; in JSON lines and YAML every set of keys is one. What a name means
is decided in `layout`, not here.

Header rows: from cells to the names of columns, with what no header may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.schema import Given, Written
from batchgen.core.spreadsheet import RESULT_COLUMNS, restore


class HeaderKind(Enum):
    """Where names come from, which decides how strictly they are read."""

    SHEET = auto()  #: The header row of a spreadsheet: stands for every row.
    KEYS = auto()  #: Keys of a JSON object: another row may have others.
    INLINE = auto()  #: Keys of a mapping in the manifest itself, or a bare prompt.


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Header:
    """Names of values, in the order of the file. Compared by identity: one object a header."""

    file: str
    names: tuple[str, ...]
    """Without outer blanks, otherwise as written."""
    kind: HeaderKind = HeaderKind.SHEET
    row: int | None = None
    """Where it stands in a spreadsheet."""
    decimal_comma: bool = False
    """Whether `0,5` is a number in this file."""
    ignored: frozenset[int] = field(default_factory=frozenset)
    """Columns that our own results file added, by index."""
    defused: bool = False
    """Whether cells were made harmless for spreadsheets, as our own results file does."""

    @property
    def is_text(self) -> bool:
        """Whether every value below it is text already."""
        return self.kind is HeaderKind.SHEET

    def label(self, index: int) -> str:
        """How messages name a column: `scale (column D)` in a spreadsheet."""
        name = self.names[index] if len(self.names[index]) <= 60 else self.names[index][:59] + "…"
        if self.kind is HeaderKind.SHEET:
            return f"{name} (column {column_letter(index)})"
        return name


class Record(NamedTuple):
    """One row: its number as the file's owner counts, its names and its values."""

    row: int
    header: Header
    cells: Sequence[Given]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot become a job, or with `fatal` a fault that is not one row's alone."""

    where: Where
    problems: tuple[Problem, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    """The row's cells as they stand in the file, as far as they could be read."""
    id: str | None = None
    """The row's own id, where it has one."""
    fatal: bool = False
    """Concerns the header, the settings or the whole file: leaving rows out does not help."""


def fatal_row(*problems: Problem, where: Where) -> BadRow:
    """A fault of the whole file, in the form in which rows are yielded."""
    return BadRow(where=where, problems=problems, fatal=True)


def folded(name: str) -> str:
    """A column's name as names are compared: neither case nor blanks around words matter."""
    return " ".join(name.split()).casefold()


def column_letter(index: int) -> str:
    """The spreadsheet's name of a column: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def is_blank(value: Given) -> bool:
    """Whether a cell counts as not given."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, Written) and value.value is None)


MAX_COLUMNS = 2000
"""Columns of a spreadsheet; a file with more has another delimiter than it seems."""
MAX_NAME = 200
"""Characters of a column's name."""


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
    for start in range(len(folded) - len(RESULT_COLUMNS), -1, -1):
        if folded[start : start + len(RESULT_COLUMNS)] == RESULT_COLUMNS:
            return frozenset(range(start, start + len(RESULT_COLUMNS)))
    return frozenset()


def _original(name: str) -> str:
    """An input column that had the name of one of ours was carried as `input.NAME`."""
    bare = restore(name).removeprefix("input.")
    return bare if bare in RESULT_COLUMNS else restore(name)


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
