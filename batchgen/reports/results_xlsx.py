"""results.xlsx: what colleagues get to see. The rows and columns of results.csv, with thumbnails.

Every text is stored as a text, so nothing in it can run and nothing is defused. Rows are written
one after the other and forgotten; only the pictures and links stay in memory until the end, and
there is a limit for both.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from batchgen.core.reviews import VerdictWord
from batchgen.core.spreadsheet import PREVIEW, RESULT_COLUMNS, carried_names
from batchgen.reports.results_csv import ResultRow, result_cells
from batchgen.system.files import replacing

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

MAX_ROWS = 5_000
"""Rows up to which a run writes the workbook by itself."""
MAX_PICTURES = 5_000
"""Thumbnails of one workbook. They stay in memory while it is written, some 5 KB each."""
SHEET_ROWS = 1_048_576
"""Rows of a sheet, with its header; Excel knows no more."""
MAX_LINKS = 65_000
"""Links of one sheet; Excel opens no more than 65,530 without a repair."""
MAX_CELL = 32_767
"""Characters of one cell."""
MAX_LINK = 2_000
"""Characters of an address."""
PICTURE_PX = 120
_ROW_HEIGHT_PX = PICTURE_PX + 8
_SAMPLED_ROWS = 200
"""Rows whose texts decide how wide a column is."""
_WIDTHS = range(9, 61)
"""Characters that a column is wide."""
_NUMBERS = frozenset({"cost_usd", "attempts", "take"})
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_CREATED = dt.datetime(2000, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
"""A fixed date, so that the same state gives the same bytes."""

PictureOf = Callable[[ResultRow], bytes | None]
"""Returns the thumbnail of a row as PNG or JPEG, at most `PICTURE_PX` wide and high."""


def write_workbook(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[ResultRow],
    *,
    summary: Callable[[], Iterable[tuple[str, str | float]]],
    picture_of: PictureOf = lambda _: None,
) -> int:
    """Replace the workbook; return how many rows did not fit. Raises `LocalIOError`.

    `summary` gives the rows of the second sheet, once all rows were taken.
    """
    from xlsxwriter import Workbook  # takes long to load

    with replacing(path) as file:
        book = Workbook(
            file,
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "tmpdir": str(path.parent),
            },
        )
        book.set_properties({"created": _CREATED})
        sheet = _Sheet(book, columns, picture_of)
        for row in rows:
            sheet.add(row)
        sheet.end()
        _write_summary(book, summary())
        book.close()
    return sheet.left_out


def _write_summary(book: Workbook, facts: Iterable[tuple[str, str | float]]) -> None:
    sheet = book.add_worksheet("summary")
    sheet.set_column(0, 0, 28)
    sheet.set_column(1, 1, 40)
    for row, (name, value) in enumerate(facts):
        sheet.write_string(row, 0, _safe(name))
        if isinstance(value, str):
            sheet.write_string(row, 1, _safe(value))
        else:
            sheet.write_number(row, 1, value)


@dataclass(slots=True)
class _Sheet:
    """The sheet of results, row by row."""

    book: Workbook
    columns: Sequence[str]
    picture_of: PictureOf
    left_out: int = 0
    _sheet: Worksheet = field(init=False)
    _names: list[str] = field(init=False)
    _widths: list[int] = field(init=False)
    _last: int = 0
    _links: int = 0
    _pictures: int = 0
    _text: Any = field(init=False)
    _link: Any = field(init=False)

    def __post_init__(self) -> None:
        self._sheet = self.book.add_worksheet("results")
        self._text = self.book.add_format({"text_wrap": True, "valign": "top"})
        self._link = self.book.add_format(
            {"text_wrap": True, "valign": "top", "font_color": "#0563C1", "underline": 1}
        )
        bold = self.book.add_format({"bold": True, "bottom": 1, "valign": "top"})
        self._names = [PREVIEW, *carried_names(self.columns), *RESULT_COLUMNS]
        self._widths = [len(name) + 4 for name in self._names]  # room for the filter's button
        for column, name in enumerate(self._names):
            self._sheet.write_string(0, column, _safe(name), bold)
        self._sheet.freeze_panes(1, 0)

    def add(self, row: ResultRow) -> None:
        """Write the next row."""
        if self._last + 1 >= SHEET_ROWS:
            self.left_out += 1
            return
        self._last += 1
        self._add_picture(row)
        cells = result_cells(row)
        given = (row.columns.get(name, "") for name in self.columns)
        for column, text in enumerate((*given, *cells.values()), 1):
            if text:
                self._add_cell(column, text, row)

    def _add_cell(self, column: int, text: str, row: ResultRow) -> None:
        name = self._names[column] if column > len(self.columns) else ""
        if self._last <= _SAMPLED_ROWS:
            longest = max(map(len, text.splitlines()), default=0)
            self._widths[column] = max(self._widths[column], longest + 1)
        if name in _NUMBERS:
            self._sheet.write_number(self._last, column, float(text), self._text)
            return
        address = _address(row) if name == "files" and self._links < MAX_LINKS else ""
        if address:
            self._links += 1
            link = _relative_link()(address)
            link.text = _safe(text)
            self._sheet.write_url(self._last, column, link, self._link)
        else:
            self._sheet.write_string(self._last, column, _safe(text), self._text)

    def _add_picture(self, row: ResultRow) -> None:
        picture = self.picture_of(row) if self._pictures < MAX_PICTURES else None
        if picture is None:
            return
        self._pictures += 1
        self._sheet.set_row_pixels(self._last, _ROW_HEIGHT_PX)
        options = {"image_data": BytesIO(picture), "x_offset": 4, "y_offset": 4,
                   "object_position": 1, "description": _safe(row.job)[:255]}  # fmt: skip
        self._sheet.insert_image(self._last, 0, f"{self._last}.img", options)

    def end(self) -> None:
        """Add what spans all rows: widths, filter, drop-down."""
        last = max(self._last, 1)
        self._sheet.set_column_pixels(0, 0, PICTURE_PX + 8)
        for column, width in enumerate(self._widths[1:], 1):
            within = min(max(width, _WIDTHS.start), _WIDTHS.stop)
            self._sheet.set_column(column, column, within)
        self._sheet.autofilter(0, 0, last, len(self._names) - 1)
        verdict = len(self._names) - len(RESULT_COLUMNS) + RESULT_COLUMNS.index("verdict")
        words = [word.value for word in VerdictWord]
        self._sheet.data_validation(
            1, verdict, last, verdict, {"validate": "list", "source": words}
        )
        self._sheet.ignore_errors(
            {"number_stored_as_text": f"A2:{_letter(len(self._names) - 1)}{last + 1}"}
        )


@cache
def _relative_link() -> Any:
    """Return the class of links whose address stays as it is.

    The library makes `\\` of `/` in the address of a file.
    """
    from xlsxwriter.url import Url, UrlTypes

    class RelativeLink(Url):  # type: ignore[misc]
        def _parse_url(self) -> None:
            self._link_type = UrlTypes.URL

    return RelativeLink


def _letter(index: int) -> str:
    from xlsxwriter.utility import xl_col_to_name

    name: str = xl_col_to_name(index)
    return name


def _address(row: ResultRow) -> str:
    """Return the percent-encoded address of the first file, below the run directory."""
    shown = row.shown
    path = shown.files[0].path if shown is not None and shown.files else ""
    address = "" if "://" in path else quote(path)
    return address if len(address) <= MAX_LINK else ""


def _safe(text: str) -> str:
    """Return the text as a cell can hold it."""
    return _NOT_XML.sub("\ufffd", text)[:MAX_CELL]
