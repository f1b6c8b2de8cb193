"""Cells far outside of a workbook's table: found before the library reads the sheet.

The library makes a grid of everything between the first and the last cell with content. One stray
cell in the last row or column would fill the memory, from a file of some kilobytes.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

MAX_SPARSE_AREA = 1_000_000
"""Cells of a grid that cost little, however few of them have content."""
MAX_SPARSENESS = 20
"""Cells of a larger grid for each one with content."""
BLOCK_BYTES = 1 << 18
SHEET_MARK = b"sheetData"
"""The library takes every part for a sheet that has this element."""

_PLACE = re.compile(r"([A-Za-z]{1,7})([0-9]{1,10})")
_CONTENT = frozenset({"v", "is", "f"})


class UnreadableSheet(ValueError):
    """A sheet that is not well-formed XML, so that nobody can say how large it is."""


def stray_cells(path: Path) -> list[str]:
    """Return the places of cells far outside of the table of a sheet, as in `XFD1048576`.

    Raises `UnreadableSheet`, and what `zipfile` raises.
    """
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if _is_sheet(archive, part) and (found := _strays_of(archive, part)):
                return found
    return []


def _blocks(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(part) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _is_sheet(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    end = b""
    for block in _blocks(archive, part):
        if SHEET_MARK in end + block:
            return True
        end = block[-len(SHEET_MARK) :]
    return False


def _strays_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> list[str]:
    extent = _Extent()
    parser = expat.ParserCreate()
    parser.StartElementHandler = extent.begin
    parser.EndElementHandler = extent.end
    parser.EntityDeclHandler = _refuse_entity
    try:
        for block in _blocks(archive, part):
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UnreadableSheet(f"{part.filename} is not well-formed XML ({error})") from None
    return extent.strays()


def _refuse_entity(name: str, *_: object) -> None:
    raise UnreadableSheet(f"it declares the entity {name!r}")


@dataclass(slots=True)
class _Extent:
    """The cells of a sheet that have content: how many, and how far out."""

    cells: int = 0
    rows: int = 0
    columns: set[int] = field(default_factory=set)
    last_row: tuple[int, str] = (0, "")
    """The number of the last row, and a cell in it."""
    last_column: tuple[int, str] = (0, "")
    _row: int = 0
    _column: int = 0
    _place: tuple[int, int] | None = None
    """Row and column of the cell that is being read, until it is known to have content."""
    _row_with_content: int = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        tag = name.rpartition(":")[2]
        if tag == "c":
            self._begin_cell(attributes.get("r", ""))
        elif tag == "row":
            self._row = _number(attributes.get("r"), self._row + 1)
            self._column = 0
        elif tag in _CONTENT and self._place is not None:
            self._count(*self._place)
            self._place = None

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name.rpartition(":")[2] == "c":
            self._place = None

    def strays(self) -> list[str]:
        """Return the places of the cells that make the grid so large."""
        (row, in_row), (column, in_column) = self.last_row, self.last_column
        if row * column <= max(MAX_SPARSE_AREA, MAX_SPARSENESS * self.cells):
            return []
        far = [
            place
            for place, last, used in (
                (in_row, row, self.rows),
                (in_column, column, len(self.columns)),
            )
            if last > MAX_SPARSENESS * used
        ]
        return list(dict.fromkeys(far or [in_row]))

    def _begin_cell(self, place: str) -> None:
        match = _PLACE.fullmatch(place)
        if match is None:
            self._column += 1
        else:
            self._row = int(match[2])
            self._column = 0
            for letter in match[1].upper():
                self._column = self._column * 26 + ord(letter) - ord("A") + 1
        self._place = self._row, self._column

    def _count(self, row: int, column: int) -> None:
        self.cells += 1
        self.columns.add(column)
        if row != self._row_with_content:
            self._row_with_content = row
            self.rows += 1
        place = f"{_letters(column)}{row}"
        self.last_row = max(self.last_row, (row, place), key=_FIRST)
        self.last_column = max(self.last_column, (column, place), key=_FIRST)


_FIRST: Callable[[tuple[int, str]], int] = lambda pair: pair[0]  # noqa: E731 - a key, used twice


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 11 else otherwise


def _letters(column: int) -> str:
    """Return `XFD` for 16384."""
    text = ""
    while column > 0:
        column, rest = divmod(column - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
