"""What a workbook's file says about a sheet and the reading library does not: cells that could not
be computed, hidden rows, merged cells.

The XML of the sheet is searched and not parsed, in pieces that end with a row, so that a sheet of a
hundred thousand rows takes a moment. Cells are looked at one by one only if there is a formula.
"""

from __future__ import annotations

import html
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20
EXACT = 2**53
"""Up to here every whole number has a cell that holds it."""

_TAG = rb"<(?:\w+:)?"
_END = rb"</(?:\w+:)?"
_FORMULA = _TAG + rb"f\b(?:[^>]*/>|[^>]*>[^<]*" + _END + rb"f>)"
_ERROR_CELL = re.compile(
    _TAG + rb"c\b([^>]*?\bt=[\"']e[\"'][^>]*?)(?:/>|>(?:" + _FORMULA + rb")?\s*(?:"
    + _TAG + rb"v>([^<]*)<)?)"
)  # fmt: skip
_NOT_COMPUTED = re.compile(
    _TAG + rb"c\b([^>]*)>\s*" + _FORMULA + rb"\s*(" + _TAG + rb"v\s*/>|" + _TAG + rb"v>\s*"
    + _END + rb"v>)?\s*" + _END + rb"c>"
)  # fmt: skip
_TOO_LONG = re.compile(_TAG + rb"c\b([^>]*)>(?:" + _FORMULA + rb")?\s*" + _TAG + rb"v>-?"
    + str(EXACT + 1).encode() + rb"(?:\.0*)?<")  # fmt: skip
_HIDDEN_ROW = re.compile(
    _TAG + rb"row\b(?=[^>]*\bhidden=[\"'](?:1|true)[\"'])[^>]*?\br=[\"'](\d+)[\"']"
)
_MERGED = re.compile(_TAG + rb"mergeCell\b[^>]*\bref=[\"']([A-Z]+\d+):([A-Z]+\d+)[\"']")
_PLACE = re.compile(rb"\br=[\"']([A-Z]+)(\d+)[\"']")
_IS_TEXT = re.compile(rb"\bt=[\"'](?:str|s|inlineStr)[\"']")
_SHEET = re.compile(r"<(?:\w+:)?sheet\b[^>]*>")
_LINK = re.compile(r"<(?:\w+:)?Relationship\b[^>]*>")

WORKBOOK = "xl/workbook.xml"
LINKS = "xl/_rels/workbook.xml.rels"


class Merged(NamedTuple):
    """A range of cells that are shown as one; rows from 1, columns from 0."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(slots=True)
class SheetFacts:
    """What is known about a sheet besides its values; rows from 1, columns from 0."""

    failed: dict[int, dict[int, str]] = field(default_factory=dict)
    """Row -> column -> why the cell has no value."""
    inexact: dict[int, set[int]] = field(default_factory=dict)
    """Row -> columns with a number that the library rounds to 2^53."""
    hidden: set[int] = field(default_factory=set)
    merged: list[Merged] = field(default_factory=list)
    has_failed_elsewhere: bool = False
    """Whether there is a failed cell whose place the file does not say."""


def sheet_facts(path: Path, sheet: str) -> SheetFacts:
    """Return the facts about a sheet. Raises what `zipfile` raises for a broken file."""
    facts = SheetFacts()
    with zipfile.ZipFile(path) as archive:
        member = _member(archive, sheet)
        if member is not None:
            for piece in _pieces(archive, member):
                _add_facts(facts, piece)
    return facts


def _member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the name of the file in the archive that holds a sheet; None if it is not found."""
    names = set(archive.namelist())
    if not {WORKBOOK, LINKS} <= names:
        return None
    id_ = next(
        (
            _attribute(tag, r"(?:\w+:)?id")
            for tag in _SHEET.findall(archive.read(WORKBOOK).decode("utf-8", "replace"))
            if _attribute(tag, "name") == sheet
        ),
        None,
    )
    for tag in _LINK.findall(archive.read(LINKS).decode("utf-8", "replace")):
        if _attribute(tag, "Id") == id_:
            target = _attribute(tag, "Target") or ""
            found = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
            return found if found in names else None
    return None


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf"""\s{name}=("([^"]*)"|'([^']*)')""", tag)
    return html.unescape(found[2] if found[2] is not None else found[3]) if found else None


def _pieces(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """Yield the XML in pieces that end with a row."""
    with archive.open(member) as file:
        rest: list[bytes] = []
        while block := file.read(BLOCK_BYTES):
            cut = block.rfind(b"row>") + 4
            if cut < 4:
                rest.append(block)
                continue
            yield b"".join((*rest, block[:cut]))
            rest = [block[cut:]]
        yield b"".join(rest)


def _add_facts(facts: SheetFacts, piece: bytes) -> None:
    if b'"e"' in piece or b"'e'" in piece:
        for cell in _ERROR_CELL.finditer(piece):
            word = (cell[2] or b"#VALUE!").decode("utf-8", "replace")
            _fail(facts, cell[1], f"the formula gives {html.unescape(word)}")
    if b"f>" in piece or b"<f" in piece:
        for cell in _NOT_COMPUTED.finditer(piece):
            if not (cell[2] and _IS_TEXT.search(cell[1])) and b'"e"' not in cell[1]:
                what = "the formula has no stored value; open the workbook, compute and save it"
                _fail(facts, cell[1], what)
    for cell in _TOO_LONG.finditer(piece) if str(EXACT + 1).encode() in piece else ():
        if (place := _PLACE.search(cell[1])) and not _IS_TEXT.search(cell[1]):
            facts.inexact.setdefault(int(place[2]), set()).add(column_index(place[1]))
    if b"hidden=" in piece:
        facts.hidden.update(int(row) for row in _HIDDEN_ROW.findall(piece))
    for first, last in _MERGED.findall(piece) if b"mergeCell" in piece else ():
        facts.merged.append(Merged(*_row_and_column(first), *_row_and_column(last)))


def _fail(facts: SheetFacts, attributes: bytes, what: str) -> None:
    if place := _PLACE.search(attributes):
        facts.failed.setdefault(int(place[2]), {})[column_index(place[1])] = what
    else:
        facts.has_failed_elsewhere = True


def _row_and_column(place: bytes) -> tuple[int, int]:
    letters = place.rstrip(b"0123456789")
    return int(place[len(letters) :]), column_index(letters)


def column_index(letters: bytes) -> int:
    """Return the index of a column: A is 0, AA is 26."""
    index = 0
    for letter in letters:
        index = index * 26 + letter - ord("A") + 1
    return index - 1
