"""Excel workbooks (.xlsx): one sheet, its cells as the text that Excel would export.

The library reads a whole sheet at once, so a workbook takes more memory than the same rows as
CSV; its unpacked size and the extent of its cells are checked first.
"""

from __future__ import annotations

import datetime as dt
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.core.errors import BatchgenError, ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.spreadsheet import restore
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.stray_cells import stray_cells
from batchgen.manifest.header import BadRow, Record, find_header

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

MAX_UNPACKED_BYTES = 1 << 30
MAX_CELL = 1_000_000
_ERRORS = frozenset({"#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#N/A", "#NULL!", "#NUM!"})


class MissingExtra(BatchgenError):
    """A format whose library is not installed."""

    exit_code = 65


class WorkbookFile:
    """One sheet of a workbook; opened again for each pass."""

    def __init__(
        self, path: Path, shown: str, *, sheet: str | None, header_row: int | None
    ) -> None:
        self._path = path
        self._shown = shown
        self._wanted = sheet
        _refuse_bomb(path, shown)
        rows = ([_text(cell) for cell in cells] for cells in self._rows())
        self._header = find_header(rows, header_row, file=shown, empty="has an empty sheet")
        self.headers = (self._header,)

    def records(self) -> Iterator[Record | BadRow]:
        """Yield the rows below the header that are not blank."""
        header, first, width = self._header, self._header.row or 0, len(self._header.names)
        for row, cells in enumerate(self._rows(), 1):
            if row <= first or not any(cell not in ("", None) for cell in cells):
                continue
            texts = [_text(cell) for cell in cells]
            texts += [""] * (width - len(texts))
            if not any(map(str.strip, texts)):
                continue
            if header.ignored:
                texts = [restore(text) for text in texts]
            yield self._bad_row(row, texts) or Record(row, header, texts)

    def _rows(self) -> Iterator[Sequence[object]]:
        calamine = _library()
        try:
            book: CalamineWorkbook = calamine.CalamineWorkbook.from_path(str(self._path))
            sheet = book.get_sheet_by_name(self._name(book))
        except ManifestError:
            raise
        except Exception as error:  # noqa: BLE001 - the library has no error class for bad files
            raise ManifestError([_unreadable(self._shown, error)]) from None
        with book:
            yield from sheet.iter_rows()

    def _name(self, book: CalamineWorkbook) -> str:
        """Return the wanted sheet, or the first that is not hidden."""
        names = book.sheet_names
        if self._wanted is None:
            shown = (
                one.name for one in book.sheets_metadata if str(one.visible).endswith(".Visible")
            )
            return next(shown, names[0])
        wanted = self._wanted.strip().casefold()
        found = next((name for name in names if name.strip().casefold() == wanted), None)
        if found is None:
            hint = did_you_mean(self._wanted, names)
            what = f"no sheet {self._wanted!r}{hint or ';'} sheets are {', '.join(names)}"
            raise ManifestError([Problem(self._shown, what)])
        return found

    def _bad_row(self, row: int, texts: Sequence[str]) -> BadRow | None:
        """Return a bad row for a formula that Excel could not compute and for a huge cell."""
        problems = tuple(
            Problem(f"{self._shown}:{row}: {self._header.label(index)}", what)
            for index, text in enumerate(texts)
            if (what := _cell_fault(text))
        )
        if not problems:
            return None
        columns = self._header.columns_of_ragged_row(texts)
        return BadRow(where=Where(file=self._shown, row=row), problems=problems, columns=columns)


def _cell_fault(text: str) -> str | None:
    if text in _ERRORS:
        return f"the formula gives {text}"
    if len(text) > MAX_CELL:
        return f"a cell of more than {MAX_CELL:,} characters"
    return None


def _library() -> Any:
    try:
        import python_calamine
    except ImportError:
        what = "reading .xlsx needs one more library: pip install 'batchgen[xlsx]'"
        raise MissingExtra(f"{what} (or save the sheet as CSV)") from None
    return python_calamine


def _unreadable(shown: str, error: Exception) -> Problem:
    if "assword" in str(error) or "assword" in type(error).__name__:
        return Problem(shown, "is protected by a password; save it without one")
    return Problem(shown, f"cannot be read as an Excel workbook: {error}")


def _refuse_bomb(path: Path, shown: str) -> None:
    """Refuse a workbook that is small as a file and would fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        strays = stray_cells(path) if unpacked <= MAX_UNPACKED_BYTES else []
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ManifestError([_unreadable(shown, error)]) from None
    if unpacked > MAX_UNPACKED_BYTES:
        what = f"unpacks to {unpacked >> 20:,} MiB; save the sheet as CSV"
        raise ManifestError([Problem(shown, what)])
    if strays:
        what = f"has a cell far outside of the table ({', '.join(strays)}); delete it, and save"
        raise ManifestError([Problem(shown, what)])


def _text(cell: object) -> str:
    """Return a cell as Excel would export it: 5 and not 5.0, dates as ISO 8601."""
    if isinstance(cell, str):
        return cell.replace("_x000D_", "")
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        return str(int(cell)) if float(cell).is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat()
    return "" if cell is None else str(cell)
