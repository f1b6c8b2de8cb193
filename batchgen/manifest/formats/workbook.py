"""Excel workbooks (.xlsx): one sheet, its cells as the text that Excel would export.

The library reads a whole sheet at once, so a workbook takes more memory than the same rows as
CSV; its unpacked size and the extent of its cells are checked first. It gives an empty text for a
cell that could not be computed; which those are is found in `sheet_xml`.
"""

from __future__ import annotations

import datetime as dt
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.spreadsheet import restore
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.encoding import refuse_content
from batchgen.manifest.formats.sheet_xml import EXACT, Merged, SheetFacts, sheet_facts
from batchgen.manifest.formats.stray_cells import stray_cells
from batchgen.manifest.header import (
    REPEATED_HEADER,
    BadRow,
    CellFault,
    ReadOptions,
    Record,
    bad_row,
    column_letter,
    find_header,
)

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

MAX_UNPACKED_BYTES = 1 << 30
MAX_CELL = 1_000_000
MAX_NAMED = 12
"""Sheets and rows that one note names."""
_ERRORS = frozenset({"#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#N/A", "#NULL!", "#NUM!"})
_OLE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_NOT_EXACT = "is a number with more digits than a cell can hold; format the column as text"


class WorkbookFile:
    """One sheet of a workbook; opened again for each pass."""

    def __init__(self, path: Path, shown: str, options: ReadOptions) -> None:
        self._path = path
        self._shown = shown
        self._options = options
        _refuse_other_files(path, shown)
        with self._book() as book:
            sheet = self._choose_sheet(book)
            self._name = sheet.name
            others = [name for name in book.sheet_names if name != self._name]
        self._facts = self._find_facts()
        self._hidden: list[int] = []
        """Rows that were left out in the last pass."""
        self._sheet_note = f"{shown}: read from sheet {self._name!r}"
        if others:
            names = ", ".join(map(repr, others[:MAX_NAMED]))
            more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
            self._sheet_note += f"; not from {names}{more}"
        self._first_column = sheet.start[1] if sheet.start else 0
        rows = ([_text(cell) for cell in cells] for cells in self._header_rows(sheet))
        self._header = find_header(
            rows, options, file=shown, first_column=self._first_column,
            empty="has an empty sheet",
        )  # fmt: skip
        self._refuse_failed_header()
        self.headers = (self._header,)

    @property
    def notes(self) -> tuple[str, ...]:
        """The sheet that is read, and the rows that are not; complete after one pass."""
        if not self._hidden:
            return (self._sheet_note,)
        count, rows = len(self._hidden), ", ".join(map(str, self._hidden[:MAX_NAMED]))
        rows += ", ..." if count > MAX_NAMED else ""
        what = "hidden row was" if count == 1 else "hidden rows were"
        note = f"{count:,} {what} left out ({rows}); to use them: --include-hidden"
        return (self._sheet_note, f"{self._shown}: {note}")

    def records(self) -> Iterator[Record | BadRow]:
        """Yield the rows below the header that are not blank."""
        header, first = self._header, self._header.row or 0
        self._hidden = []
        merged = _MergedCells(self._facts.merged, self._first_column)
        for row, cells in enumerate(self._rows(), 1):
            merged.begin_row(row, cells)
            failed = self._facts.failed.get(row, {})
            is_blank = not failed and not any(cell not in ("", None) for cell in cells)
            if row <= first or is_blank:
                continue
            texts = [_text(cell) for cell in cells]
            if not failed and not any(map(str.strip, texts)):
                continue
            texts += [""] * (len(header.names) - len(texts))
            if header.is_results:
                texts = [restore(text) for text in texts]
            is_hidden = row in self._facts.hidden and not self._options.include_hidden
            if is_hidden:
                self._hidden.append(row)
            if header.is_repeated_in(texts):
                if is_hidden:
                    continue
                yield bad_row(Where(file=self._shown, row=row), REPEATED_HEADER)
                continue
            faults = [*self._faults(row, cells, texts), *merged.fill(row, texts, header.names)]
            yield Record(row, header, texts, faults, is_hidden)

    def _book(self) -> CalamineWorkbook:
        try:
            book: CalamineWorkbook = _library().CalamineWorkbook.from_path(str(self._path))
        except Exception as error:  # noqa: BLE001 - the library has no error class for bad files
            raise ManifestError([_unreadable(self._shown, error)]) from None
        return book

    def _sheet(self, book: CalamineWorkbook, name: str) -> CalamineSheet:
        try:
            return book.get_sheet_by_name(name)
        except Exception as error:  # noqa: BLE001 - the same
            raise ManifestError([_unreadable(self._shown, error)]) from None

    def _rows(self) -> Iterator[Sequence[object]]:
        with self._book() as book:
            yield from self._sheet(book, self._name).iter_rows()

    def _header_rows(self, sheet: CalamineSheet) -> Iterator[Sequence[object]]:
        """Yield the rows among which the header is: hidden ones only if they are used."""
        skip = not self._options.include_hidden and self._options.header_row is None
        for row, cells in enumerate(sheet.iter_rows(), 1):
            yield () if skip and row in self._facts.hidden else cells

    def _find_facts(self) -> SheetFacts:
        try:
            facts = sheet_facts(self._path, self._name)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ManifestError([_unreadable(self._shown, error)]) from None
        if facts.has_failed_elsewhere:
            what = f"sheet {self._name!r} has a cell that could not be computed; save it as CSV"
            raise ManifestError([Problem(self._shown, what)])
        return facts

    def _choose_sheet(self, book: CalamineWorkbook) -> CalamineSheet:
        """Return the wanted sheet, or the first that is shown, has cells and is not empty."""
        tables = [one for one in book.sheets_metadata if str(one.typ).endswith(".WorkSheet")]
        names = [one.name for one in tables]
        if not names:
            raise ManifestError([Problem(self._shown, "has no sheet with cells, only charts")])
        if self._options.sheet is None:
            shown = [one.name for one in tables if str(one.visible).endswith(".Visible")] or names
            sheets = (self._sheet(book, name) for name in shown)
            found = next(filter(_has_cells, sheets), None)
            return found or self._sheet(book, shown[0])
        wanted = self._options.sheet.strip().casefold()
        named = next((name for name in names if name.strip().casefold() == wanted), None)
        if named is None:
            hint = did_you_mean(self._options.sheet, names)
            what = f"no sheet {self._options.sheet!r}{hint or ';'} sheets are {', '.join(names)}"
            raise ManifestError([Problem(self._shown, what)])
        return self._sheet(book, named)

    def _refuse_failed_header(self) -> None:
        row = self._header.row or 0
        problems = [
            Problem(f"{self._shown}:{row}: column {column_letter(column)}", what)
            for column, what in sorted(self._facts.failed.get(row, {}).items())
        ]
        if problems:
            raise ManifestError(problems)

    def _faults(
        self, row: int, cells: Sequence[object], texts: Sequence[str]
    ) -> Iterator[CellFault]:
        """Yield the cells of a row whose value is not known."""
        for column, failed in sorted(self._facts.failed.get(row, {}).items()):
            yield CellFault(column - self._first_column, failed)
        inexact = self._facts.inexact.get(row, ())
        for index, text in enumerate(texts):
            cell = cells[index] if index < len(cells) else None
            if what := _cell_fault(text):
                yield CellFault(index, what)
            elif isinstance(cell, (int, float)) and (
                abs(cell) > EXACT or index + self._first_column in inexact
            ):
                yield CellFault(index, f"{text} {_NOT_EXACT}", is_carried_anyway=True)


class _MergedCells:
    """The merged cells of a sheet: only the first of them has the value that all of them show."""

    def __init__(self, merged: Sequence[Merged], first_column: int) -> None:
        self._waiting = sorted(merged, reverse=True)
        self._open: list[tuple[Merged, str]] = []
        self._first_column = first_column

    def begin_row(self, row: int, cells: Sequence[object]) -> None:
        """Take up the ranges that begin in a row, and drop those that have ended."""
        self._open = [(one, text) for one, text in self._open if one.bottom >= row]
        while self._waiting and self._waiting[-1].top <= row:
            one = self._waiting.pop()
            index = one.left - self._first_column
            text = _text(cells[index]) if 0 <= index < len(cells) else ""
            if text.strip() and one.bottom >= row:
                self._open.append((one, text))

    def fill(self, row: int, texts: list[str], names: Sequence[str]) -> Iterator[CellFault]:
        """Put the value into the cells that show it; yield them, as nobody said it is theirs."""
        for one, text in self._open:
            first = f"{column_letter(one.left)}{one.top}"
            for column in range(one.left, one.right + 1):
                index = column - self._first_column
                is_first = (row, column) == (one.top, one.left)
                if is_first or not 0 <= index < len(names) or not names[index]:
                    continue
                texts[index] = text
                what = f"is merged with {first}; unmerge the cells and fill in each"
                yield CellFault(index, what, is_carried_anyway=True)


def _cell_fault(text: str) -> str | None:
    if text in _ERRORS:
        return f"the formula gives {text}"
    if len(text) > MAX_CELL:
        return f"a cell of more than {MAX_CELL:,} characters"
    return None


def _has_cells(sheet: CalamineSheet) -> bool:
    return any(cell not in ("", None) for cells in sheet.iter_rows() for cell in cells)


def _library() -> Any:
    import python_calamine

    return python_calamine


def _unreadable(shown: str, error: Exception) -> Problem:
    if "assword" in str(error) or "assword" in type(error).__name__:
        return Problem(shown, "is protected by a password; save it without one")
    return Problem(shown, f"cannot be read as an Excel workbook: {error}")


def _refuse_other_files(path: Path, shown: str) -> None:
    """Refuse a file that is not a workbook, and one that would fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            what = _kind_of_archive(set(archive.namelist()))
        strays = stray_cells(path) if unpacked <= MAX_UNPACKED_BYTES else []
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        what = _kind_of_file(path, shown)
        problem = Problem(shown, what) if what else _unreadable(shown, error)
        raise ManifestError([problem]) from None
    if what is None and unpacked > MAX_UNPACKED_BYTES:
        what = f"unpacks to {unpacked >> 20:,} MiB; save the sheet as CSV"
    if what is not None:
        raise ManifestError([Problem(shown, what)])
    if strays:
        what = f"has a cell far outside of the table ({', '.join(strays)}); delete it, and save"
        raise ManifestError([Problem(shown, what)])


def _kind_of_archive(names: set[str]) -> str | None:
    if "xl/workbook.bin" in names:
        return "is a binary Excel workbook (.xlsb); save it as .xlsx or CSV"
    if "content.xml" in names and "mimetype" in names:
        return "is an OpenDocument spreadsheet (.ods); save it as .xlsx or CSV"
    if any(name.endswith((".iwa", "Index.zip")) for name in names):
        return "is an Apple Numbers spreadsheet; export it as .xlsx or CSV"
    if "word/document.xml" in names:
        return "is a Word document; save the list as .xlsx or CSV"
    return None


def _kind_of_file(path: Path, shown: str) -> str | None:
    """Return what a file is that is not an archive."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
        refuse_content(start, shown)
        if not start.startswith(_OLE):
            return None
        file.seek(0)
        tail = b""
        while block := file.read(1 << 20):
            if _ENCRYPTED in tail + block:
                return "is protected by a password; save it without one"
            tail = block[-64:]
    return "is an old Excel workbook (.xls); save it as .xlsx or CSV"


def _text(cell: object) -> str:
    """Return a cell as Excel would export it: 5 and not 5.0, dates as ISO 8601."""
    if isinstance(cell, str):
        return cell.replace("_x000D_", "")
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        is_exact = float(cell).is_integer() and abs(cell) <= EXACT
        return str(int(cell)) if is_exact else f"{cell:.15g}"
    if isinstance(cell, dt.timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(cell, dt.datetime):
        return (cell + dt.timedelta(milliseconds=500)).replace(microsecond=0).isoformat(sep=" ")
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat()
    return "" if cell is None else str(cell)
