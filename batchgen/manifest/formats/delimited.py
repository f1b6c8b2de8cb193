"""CSV and TSV: finding the delimiter, and records with the numbers a spreadsheet gives them.

A record is a row, however many lines its quoted cells take; blank rows count and are skipped.
The file is read line by line with a limit, so that a cell of a hundred megabytes is a message
and not a hundred megabytes.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.spreadsheet import restore
from batchgen.manifest.carried_columns import shown_cells
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.header import MAX_COLUMNS, BadRow, Header, Record, fatal_row, sheet_header

MAX_CELL = 1_000_000
"""Characters of one cell."""
MAX_LINE = 8_000_000
"""Characters of one line."""
SAMPLE = 1 << 18
DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=([,;\t|])"?(?=[\r\n])', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How cells stand in one file."""

    delimiter: str
    quoted: bool
    """Whether double quotes wrap cells; else they are letters like others."""
    has_sep_line: bool
    """Whether Excel's `sep=;` stands before the first row, which it does not count."""

    def reader(self, file: TextIO) -> Iterator[list[str]]:
        """The records of an open file, from its first row."""
        csv.field_size_limit(MAX_CELL)
        lines = iter(partial(file.readline, MAX_LINE), "")
        if self.has_sep_line:
            next(lines, None)
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


class DelimitedFile:
    """One CSV or TSV file; opened again for each pass."""

    def __init__(self, path: Path, shown: str, *, format_name: str, header_row: int | None) -> None:
        self._path = path
        self._shown = shown
        self.encoding = detect(path, shown)
        with self.encoding.open(path) as file:
            sample = file.read(SAMPLE)
        sniff = partial(_dialect, sample, header_row=header_row or 1)
        self.dialect = self._find_dialect(sniff, is_tsv=format_name == "tsv")
        self.header = self._read_header(header_row)

    def records(self) -> Iterator[Record | BadRow]:
        """The rows below the header that are not blank; what cannot be read, in its place."""
        header, first, width = self.header, self.header.row or 0, len(self.header.names)
        numbers, row = itertools.count(1), 0
        with self.encoding.open(self._path) as file:
            reader = self.dialect.reader(file)
            while True:
                try:
                    for row, cells in zip(numbers, reader, strict=False):
                        if header.defused:
                            cells[:] = map(restore, cells)
                        if row <= first or not any(map(str.strip, cells)):
                            continue
                        if len(cells) != width:
                            yield self._ragged(row, cells)
                        else:
                            yield Record(row, header, cells)
                except csv.Error as error:
                    yield self._broken(row + 1, str(error))
                    if "field limit" in str(error):
                        return
                else:
                    return

    def _read_header(self, header_row: int | None) -> Header:
        with self.encoding.open(self._path) as file:
            for row, cells in enumerate(self._rows(file), 1):
                if row == header_row or (header_row is None and any(map(str.strip, cells))):
                    comma = self.dialect.delimiter == ";"
                    return sheet_header(cells, file=self._shown, row=row, decimal_comma=comma)
        what = f"has no row {header_row} for a header" if header_row else "is empty"
        raise ManifestError([Problem(self._shown, what)])

    def _rows(self, file: TextIO) -> Iterator[list[str]]:
        try:
            yield from self.dialect.reader(file)
        except csv.Error as error:
            raise ManifestError([Problem(self._shown, _csv_fault(str(error)))]) from None

    def _ragged(self, row: int, cells: Sequence[str]) -> BadRow:
        names = self.header.names
        what = f"has {_cells(len(cells))}, the header has {len(names)}"
        if len(cells) > len(names):
            what += f"; put a text that has {_NAMES[self.dialect.delimiter]} in it in quotes"
        return BadRow(
            where=Where(file=self._shown, row=row),
            problems=(Problem(f"{self._shown}:{row}", what),),
            columns=shown_cells(self.header, cells),
        )

    def _broken(self, row: int, error: str) -> BadRow:
        problem = Problem(f"{self._shown}:{row}", _csv_fault(error))
        where = Where(file=self._shown, row=row)
        if "field limit" in error or "end of data" in error:
            return fatal_row(problem, where=where)
        return BadRow(where=where, problems=(problem,))

    def _find_dialect(self, sniff: Callable[..., Dialect], *, is_tsv: bool) -> Dialect:
        """Delimiter and quoting. Many files with tabs use quotes as plain letters."""
        dialect = sniff(quoted=True)
        if not self.encoding.has_quotes or not (is_tsv or dialect.delimiter == "\t"):
            return dialect
        with self.encoding.open(self._path) as file:
            return dialect if _pair(dialect.reader(file)) else sniff(quoted=False)


def _pair(reader: Iterator[list[str]]) -> bool:
    """Whether a strict reading works and no cell has swallowed the rows between two quotes."""
    try:
        return not any("\t" in cell and "\n" in cell for cells in reader for cell in cells)
    except csv.Error:
        return False


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def _csv_fault(error: str) -> str:
    """The reader's words in ours."""
    if "field limit" in error:
        return (
            f"a cell has more than {MAX_CELL:,} characters, or its quote is never closed; the file "
            "is not read any further"
        )
    if "end of data" in error:
        return "a quote is opened and never closed; close it, or double a quote that is a letter"
    if "expected after" in error:
        return "text after a closing quote; inside of a quoted cell write a quote twice"
    return f"cannot be read: {error}"


def _dialect(sample: str, *, header_row: int, quoted: bool) -> Dialect:
    """The dialect that explains the beginning of a file best, from its header on."""
    if sep_line := _SEP_LINE.match(sample):
        return Dialect(delimiter=sep_line[1], quoted=quoted, has_sep_line=True)
    dialects = [Dialect(delimiter=d, quoted=quoted, has_sep_line=False) for d in DELIMITERS]
    return max(dialects, key=lambda dialect: _score(sample, dialect, header_row))


def _score(sample: str, dialect: Dialect, header_row: int) -> tuple[bool, float, int]:
    """How well a dialect explains a sample: it splits the header, and the rows are as wide."""
    widths: list[int] = []
    with contextlib.suppress(csv.Error):
        rows = itertools.islice(
            dialect.reader(io.StringIO(sample, newline="")), header_row - 1, None
        )
        widths.extend(len(cells) for cells in rows if any(cells))
    if not widths or not 1 < widths[0] <= MAX_COLUMNS:
        return False, 0.0, 0
    body = widths[1:-1] or widths
    return True, sum(width == widths[0] for width in body) / len(body), widths[0]
