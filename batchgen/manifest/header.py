"""Headers and the rows below them: names of values, records, rows that cannot become jobs.

A spreadsheet has one header; in JSON lines and YAML every set of keys is one. What a name means
for a model is decided in `column_mapper`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.schema.values import Given, Written, text_of
from batchgen.core.spreadsheet import read_back

_NOT_OF_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of pairs, and line breaks. Joiners are none: emoji, Hindi and Persian
are written with them."""
CREDENTIALS = frozenset({"api_key", "token", "password", "secret", "authorization"})
"""Names of columns whose cells must not appear in a report."""
MAX_COLUMNS = 2000
"""Columns of a spreadsheet; a file with more has another delimiter than it seems."""
MAX_NAME = 200
"""Characters of a column's name."""
MAX_TITLE_ROWS = 20
"""Rows above a header in which a title or comments are looked for."""
NO_HEADER = "if the file has no header, add a first row that names its columns, such as prompt"
_DELIMITERS = re.compile(r"[,;\t|]")
REPEATED_HEADER = "is the header once more; remove it"
MAX_HEADERS = 2000
"""Headers that are remembered; a file in which every row has other keys is still read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a file of rows is read, as the manifest and the command line say."""

    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None
    drop: frozenset[str] = frozenset()
    """Columns, as `folded` compares them, that the file is treated as not having."""
    include_hidden: bool = False


class HeaderKind(Enum):
    """Origin of the names, which decides how strictly they are read."""

    SHEET = auto()  #: The header row of a spreadsheet, for every row.
    KEYS = auto()  #: Keys of a JSON object: another row may have others.
    INLINE = auto()  #: Keys of a mapping in the manifest itself, or a bare prompt.


class Header:
    """Names of values, in the order of the file. Compared by identity: one object per header."""

    def __init__(
        self,
        file: str,
        names: tuple[str, ...],
        *,
        kind: HeaderKind = HeaderKind.SHEET,
        row: int | None = None,
        decimal_comma: bool = False,
        ignored: frozenset[int] = frozenset(),
        is_results: bool = False,
        first_column: int = 0,
    ) -> None:
        self.file = file
        self.names = names
        """Without outer blanks, otherwise as written."""
        self.kind = kind
        self.row = row
        """Its row in a spreadsheet."""
        self.decimal_comma = decimal_comma
        """Whether `0,5` is a number in this file."""
        self.ignored = ignored
        """Columns that our own results file added, or that the user dropped, by index."""
        self.is_results = is_results
        """Whether this is our own results file, whose cells are defused as well."""
        self.first_column = first_column
        """The spreadsheet's column in which the table begins; 0 is A."""
        self._folded = tuple(map(folded, names))
        inputs = [(i, name) for i, name in enumerate(names) if i not in ignored]
        self.secrets = tuple(name for _, name in inputs if is_secret(name))
        """Columns whose whole name is that of a credential."""
        self.nameless = tuple(i for i, name in inputs if not name)
        """Columns without a name, by index."""
        self._carried = tuple(i for i, name in inputs if name and not is_secret(name))
        first: dict[str, int] = {}
        pairs = [(i, first.setdefault(folded(names[i]), i)) for i in self._carried]
        self.repeated = {other: i for i, other in pairs if i != other}
        """The first column of each name that several have -> the last of them."""
        self.carried = tuple(
            names[i] if i == other else f"{names[i]} (column {self.letter(i)})"
            for i, other in pairs
        )
        """Columns that go to the results, each under a name of its own."""
        self.below: tuple[tuple[int, frozenset[str]], ...] = ()
        """The rows below it in a spreadsheet, with their cells as names, if it may be no header."""

    def label(self, index: int) -> str:
        """Return the name of a column for messages: `scale (column D)` in a spreadsheet."""
        name = self.names[index] if len(self.names[index]) <= 60 else self.names[index][:59] + "…"
        if self.kind is HeaderKind.SHEET:
            return f"{name} (column {self.letter(index)})".lstrip()
        return name

    def letter(self, index: int) -> str:
        """Return the spreadsheet's name of a column of this table."""
        return column_letter(self.first_column + index)

    def is_repeated_in(self, cells: Sequence[str]) -> bool:
        """Return whether a row is this header once more, also with its columns in another order.

        A row whose prompt is the word `prompt`, while its other cells are not the header's, is not.
        """
        if self._folded[0] != folded(cells[0]) and folded(cells[0]) not in self._folded:
            return False
        found = [folded(cell) for cell in cells]
        given = [cell for cell in found if cell]
        if sorted(given) == sorted(filter(None, self._folded)):
            return True
        hits = sum(one == name != "" for one, name in zip(found, self._folded, strict=False))
        return hits >= 2 and 2 * hits > len(given)

    def columns(self, cells: Sequence[Given]) -> dict[str, str]:
        """Return a row's carried cells by column name, as text.

        A cell under no name is carried under the letter of its column, unless it is blank.
        """
        chosen = (
            cells if len(self.carried) == len(self.names) else [cells[i] for i in self._carried]
        )
        if self.kind is not HeaderKind.SHEET:
            chosen = [text_of(cell) for cell in chosen]
        columns: dict[str, str] = dict(zip(self.carried, chosen, strict=False))  # type: ignore[arg-type]
        for index in self.nameless:
            if not is_blank(cell := cells[index]):
                columns[f"column {self.letter(index)}"] = text_of(cell)
        return columns

    def columns_of_ragged_row(self, cells: Sequence[str]) -> dict[str, str]:
        """Return the cells of a row that does not fit this header, for the results.

        None of them if one is a credential, because it may be in any of the columns.
        """
        if self.secrets:
            return {}
        pairs = zip(self.carried, self._carried, strict=True)
        return {name: cells[i] for name, i in pairs if i < len(cells)}


class CellFault(NamedTuple):
    """A cell that holds something which could not be read."""

    column: int
    what: str
    is_carried_anyway: bool = False
    """Whether the text that was read is good enough for a column that is only carried."""


class Record(NamedTuple):
    """One row: its number as the file's owner counts, its names and its values."""

    row: int
    header: Header
    cells: Sequence[Given]
    faults: Sequence[CellFault] = ()
    """Cells whose value is not known; an error wherever it would be used."""
    is_hidden: bool = False
    """Whether the user hid the row, so that it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot become a job, or with `fatal` a fault that is not one row's alone."""

    where: Where
    problems: tuple[Problem, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    """The row's cells as they are in the file, as far as they could be read."""
    id: str | None = None
    """The row's own id, if it has one."""
    fatal: bool = False
    """Whether it concerns the header, the settings or the whole file: skipping rows cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that is not selected or is switched off: its jobs keep their names."""

    jobs: tuple[str, ...]
    """The ids of its jobs; its own id alone if the rest of the row is wrong."""
    columns: Mapping[str, str] = field(default_factory=dict)
    switched_off: bool = False
    """True if the manifest itself switches the row off: no run submits its jobs."""


def bad_row(
    where: Where, what: str, *, columns: Mapping[str, str] | None = None, fatal: bool = False
) -> BadRow:
    """Return a bad row with one problem, which concerns the whole row."""
    problems = (Problem(str(where), what),)
    return BadRow(where=where, problems=problems, columns=columns or {}, fatal=fatal)


def is_secret(name: str) -> bool:
    """Return whether the whole name is that of a credential."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_") in CREDENTIALS


def folded(name: str) -> str:
    """Return a column's name as names are compared: case and blanks around words do not matter."""
    return " ".join(canonical_text(name).split()).casefold()


def column_letter(index: int) -> str:
    """Return the spreadsheet's name of a column: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def is_blank(value: Given) -> bool:
    """Return whether a cell counts as not given."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, Written) and value.value is None)


@lru_cache(maxsize=MAX_HEADERS)
def keyed_header(
    file: str,
    keys: tuple[str, ...],
    *,
    inline: bool = False,
    drop: frozenset[str] = frozenset(),
) -> Header:
    """Return the header of rows with these keys, the same object for the same keys.

    So what the keys mean is worked out once, and not for each row.
    """
    kind = HeaderKind.INLINE if inline else HeaderKind.KEYS
    return Header(file=file, names=keys, kind=kind, ignored=_dropped(keys, drop))


def _dropped(names: Sequence[str], drop: frozenset[str]) -> frozenset[int]:
    return frozenset(i for i, name in enumerate(names) if folded(name) in drop)


def find_header(
    rows: Iterable[Sequence[str]],
    options: ReadOptions,
    *,
    file: str,
    decimal_comma: bool = False,
    first_column: int = 0,
    empty: str,
) -> Header:
    """Return the header of a spreadsheet: row `header_row`, or else the first that is not blank.

    Raises `ManifestError` if there is no such row, with `empty` as the reason if there is none at
    all, and for a header that cannot name columns.
    """
    header_row = options.header_row
    numbered = enumerate(rows, 1)
    for row, cells in numbered:
        if row == header_row or (header_row is None and any(map(str.strip, cells))):
            names = _names_of_columns(cells, f"{file}:{row}")
            header = _sheet_header(names, file, row, decimal_comma, first_column, options.drop)
            if header_row is None:
                header.below = tuple(_names_below(numbered))
            return header
    what = f"has no row {header_row} for a header" if header_row else empty
    raise ManifestError([Problem(file, what)])


def _names_below(
    numbered: Iterator[tuple[int, Sequence[str]]],
) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield the next rows as if they were headers; nothing that cannot be read matters here."""
    with suppress(ManifestError):
        for row, cells in islice(numbered, MAX_TITLE_ROWS):
            # A title has no delimiter, so the rows below it may not have been split.
            names = cells if len(cells) > 1 else _DELIMITERS.split("".join(cells))
            yield row, frozenset(folded(name) for name in names if 0 < len(name) <= MAX_NAME)


def _names_of_columns(cells: Sequence[str], where: str) -> tuple[str, ...]:
    if len(cells) > MAX_COLUMNS:
        what = f"has {len(cells):,} columns; at most {MAX_COLUMNS:,} are allowed"
        raise ManifestError([Problem(where, what)])
    return tuple(" ".join(cell.replace("\ufeff", "").split()) for cell in cells)


def _sheet_header(
    names: tuple[str, ...],
    file: str,
    row: int,
    decimal_comma: bool,
    first_column: int,
    drop: frozenset[str],
) -> Header:
    names, ours = read_back(names)
    header = Header(
        file=file,
        names=names,
        row=row,
        decimal_comma=decimal_comma,
        ignored=ours | _dropped(names, drop),
        is_results=bool(ours),
        first_column=first_column,
    )
    if problems := _bad_names(header):
        raise ManifestError(problems)
    return header


def _bad_names(header: Header) -> list[Problem]:
    problems = []
    for index, name in enumerate(header.names):
        place = f"{header.file}:{header.row}: column {header.letter(index)}"
        if len(name) > MAX_NAME:
            what = f"a name of {len(name):,} characters; {NO_HEADER}"
            problems.append(Problem(place, what))
        elif not is_one_line(name):
            problems.append(Problem(place, f"a control character in the name {name!r}; remove it"))
    return problems


def is_one_line(text: str) -> bool:
    """Return whether a text has neither a line break nor a control character in it."""
    return text.isprintable() or not any(unicodedata.category(c) in _NOT_OF_A_LINE for c in text)


class InputColumns:
    """The input columns of a manifest, as far as its rows were read."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        """In the order of the file."""
        self.secrets: dict[str, None] = {}
        """Columns that are neither sent nor shown."""
        self._met: set[Header] = set()

    def meet(self, header: Header) -> None:
        """Add the columns of a header."""
        if len(self._met) > MAX_HEADERS:
            self._met.clear()
        self._met.add(header)
        self.names.update(dict.fromkeys(header.carried))
        self.secrets.update(dict.fromkeys(header.secrets))

    def of(self, record: Record) -> Mapping[str, str]:
        """Return a row's carried cells, and add the columns that only this row shows."""
        header = record.header
        columns = header.columns(record.cells)
        if header not in self._met:
            self.meet(header)
        if header.nameless:
            self.names.update(dict.fromkeys(columns))
        return columns
