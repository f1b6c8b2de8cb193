"""CSV and TSV files: their dialect, and records with the numbers a spreadsheet gives them.

A record is a row, however many lines its quoted cells take; blank rows count and are skipped.
The file is read line by line with a limit, so that a cell of a hundred megabytes is a message
and not in memory.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.spreadsheet import restore
from batchgen.manifest.formats.encoding import EncodedFile, detect
from batchgen.manifest.header import (
    MAX_COLUMNS,
    REPEATED_HEADER,
    BadRow,
    ReadOptions,
    Record,
    bad_row,
    column_letter,
    find_header,
)

MAX_CELL = 1_000_000
"""Characters of one cell."""
MAX_LINE = 8_000_000
"""Characters of one line."""
SAMPLE = 1 << 18
DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=([,;\t|])"?(?=[\r\n])', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Delimiter and quoting of one file."""

    delimiter: str
    quoted: bool
    """Whether double quotes wrap cells; if not, they are text like any other character."""
    has_sep_line: bool
    """Whether Excel's `sep=;` comes before the first row; it is not counted as a row."""

    def reader(self, file: TextIO) -> Iterator[list[str]]:
        """Yield the records of an open file, from its first row."""
        csv.field_size_limit(MAX_CELL)
        lines: Iterator[str] = iter(partial(file.readline, MAX_LINE), "")
        # A file that was put together from several has a byte order mark at the start of each.
        lines = (line.lstrip("\ufeff") if line[0] == "\ufeff" else line for line in lines)
        if self.has_sep_line:
            next(lines, None)
        if self.quoted:
            return _QuotedRows(csv.reader(lines, delimiter=self.delimiter, strict=True))
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


class _QuotedRows(Iterator[list[str]]):
    """The records of a file with quotes; raises `csv.Error` for a row and can go on after it."""

    def __init__(self, rows: Iterator[list[str]]) -> None:
        self._rows = rows

    def __next__(self) -> list[str]:
        cells = next(self._rows)
        for index, cell in enumerate(cells):
            if cell[:1].isspace() and _has_outer_quote(cell):
                raise csv.Error(f"blank before quote in column {column_letter(index)}")
        return cells


def _has_outer_quote(cell: str) -> bool:
    """Return whether quotes were to wrap a cell, which they only do without a blank before them."""
    text = cell.strip()
    return text[:1] == '"' and (text.count('"') % 2 == 1 or text[-1] == '"')


class DelimitedFile:
    """One CSV or TSV file; opened again for each pass."""

    def __init__(self, path: Path, shown: str, *, is_tsv: bool, options: ReadOptions) -> None:
        header_row = options.header_row or 1
        self._shown = shown
        row_of = partial(_row_after, header_row=header_row)
        self._file = detect(path, shown, options.encoding, row_of=row_of)
        self._dialect = self._find_dialect(is_tsv=is_tsv, header_row=header_row)
        with self._file.open() as file:
            self._header = find_header(
                self._rows_to_header(file),
                options,
                file=shown,
                decimal_comma=self._dialect.delimiter == ";",
                empty="is empty",
            )
        self.headers = (self._header,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the plan says about the encoding."""
        return self._file.notes

    def records(self) -> Iterator[Record | BadRow]:
        """Yield the rows below the header that are not blank; what cannot be read, in its place."""
        row, first = 0, self._header.row or 0
        with self._file.open() as file:
            reader = self._dialect.reader(file)
            while True:
                row += 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield self._broken(row, str(error))
                    if "field limit" in str(error):
                        return
                    continue
                if row > first and any(map(str.strip, cells)):
                    yield self._record(row, cells)

    def _record(self, row: int, cells: list[str]) -> Record | BadRow:
        header = self._header
        if header.is_results:
            cells[:] = map(restore, cells)
        if header.is_repeated_in(cells):
            return bad_row(Where(file=self._shown, row=row), REPEATED_HEADER)
        if len(cells) != len(header.names):
            return self._ragged(row, cells)
        return Record(row, header, cells)

    def _find_dialect(self, *, is_tsv: bool, header_row: int) -> Dialect:
        """Return delimiter and quoting. Many files with tabs use quotes as plain letters."""
        with self._file.open() as file:
            sample = file.read(SAMPLE)
        dialect = _dialect(sample, header_row=header_row, quoted=True)
        if not (is_tsv or dialect.delimiter == "\t") or not self._file.has_quotes():
            return dialect
        with self._file.open() as file:
            if _quotes_pair(dialect.reader(file)):
                return dialect
        return _dialect(sample, header_row=header_row, quoted=False)

    def _rows_to_header(self, file: TextIO) -> Iterator[list[str]]:
        try:
            yield from self._dialect.reader(file)
        except csv.Error as error:
            raise ManifestError([Problem(self._shown, _csv_fault(str(error)))]) from None

    def _ragged(self, row: int, cells: Sequence[str]) -> BadRow:
        count, width = len(cells), len(self._header.names)
        what = f"has {count} cell{'s' if count > 1 else ''}, the header has {width}"
        if count > width:
            what += f"; put a text that has {_NAMES[self._dialect.delimiter]} in it in quotes"
        columns = self._header.columns_of_ragged_row(cells)
        return bad_row(Where(file=self._shown, row=row), what, columns=columns)

    def _broken(self, row: int, error: str) -> BadRow:
        fatal = "field limit" in error or "end of data" in error
        return bad_row(Where(file=self._shown, row=row), _csv_fault(error), fatal=fatal)


def _quotes_pair(reader: Iterator[list[str]]) -> bool:
    """Return whether a strict reading works and no cell holds the rows between two quotes."""
    try:
        return not any("\t" in cell and "\n" in cell for cells in reader for cell in cells)
    except csv.Error:
        return False


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def _csv_fault(error: str) -> str:
    """Return the message for an error of the `csv` module."""
    if "field limit" in error:
        return (
            f"a cell has more than {MAX_CELL:,} characters, or its quote is never closed; the file "
            "is not read any further"
        )
    if "before quote" in error:
        place = error.rpartition("in ")[2]
        return f"a blank before the quote in {place}: quotes wrap nothing then; remove the blank"
    if "end of data" in error:
        return 'a quote is opened and never closed; close it, or write "" for a literal quote'
    if "expected after" in error:
        return 'text after a closing quote; in a quoted cell write "" for a literal quote'
    return f"cannot be read: {error}"


def _row_after(text: str, header_row: int) -> int:
    """Return the number of the row in which a text ends, as `records` counts them."""
    dialect = _dialect(text[:SAMPLE], header_row=header_row, quoted=True)
    row, reader = 0, dialect.reader(io.StringIO(text + "?", newline=""))
    while True:
        with contextlib.suppress(csv.Error):
            if next(reader, None) is None:
                return row
        row += 1


def is_table(file: EncodedFile) -> bool:
    """Return whether the beginning of a text file is a table whose cells are separated by tabs.

    Excel saves a sheet as such a `.txt` file and calls it "Unicode Text".
    """
    with file.open() as opened:
        rows = csv.reader(io.StringIO(opened.read(SAMPLE), newline=""), delimiter="\t")
        widths: list[int] = []
        with contextlib.suppress(csv.Error):
            widths.extend(len(cells) for cells in rows if any(map(str.strip, cells)))
    if not widths or widths[0] < 2:
        return False
    same = sum(width == widths[0] for width in widths)
    return 2 * same > len(widths) and (len(widths) > 1 or file.codec.startswith("utf-16"))


def _dialect(sample: str, *, header_row: int, quoted: bool) -> Dialect:
    """Return the dialect that fits the beginning of a file best, from its header on."""
    if sep_line := _SEP_LINE.match(sample):
        return Dialect(delimiter=sep_line[1], quoted=quoted, has_sep_line=True)
    dialects = [Dialect(delimiter=d, quoted=quoted, has_sep_line=False) for d in DELIMITERS]
    return max(dialects, key=lambda dialect: _score(sample, dialect, header_row))


def _score(sample: str, dialect: Dialect, header_row: int) -> tuple[bool, float, int]:
    """Return how well a dialect fits: whether it splits the header, and rows are as wide."""
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
