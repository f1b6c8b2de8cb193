"""JSON files: a list of rows, read element by element, or a manifest with a head.

A list of a million rows is never in memory as a whole. The number of a row is the line on which
it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.schema import Given
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.inline_rows import KeyedHeaders
from batchgen.manifest.formats.line_files import keyed_record
from batchgen.manifest.header import BadRow, Header, HeaderKind, Record, fatal_row

BLOCK = 1 << 16
MAX_ELEMENT = 4_000_000
"""Characters of one row."""
LONGEST_TOKEN = 12
"""Characters of `false` or an escape that the window may cut."""
_BLANKS = " \t\r\n\ufeff"


class JSONFile:
    """A `.json` file whose top level is a list."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._encoding = detect(path, shown)
        self._headers = KeyedHeaders(shown, HeaderKind.KEYS)
        self.header: Header | None = None

    def starts_with(self) -> str:
        """The first character that is not blank; empty for an empty file."""
        with self._encoding.open(self._path) as file:
            while block := file.read(BLOCK):
                if text := block.lstrip(_BLANKS):
                    return text[0]
        return ""

    def text(self) -> str:
        """All of it; for heads, which are small."""
        with self._encoding.open(self._path) as file:
            return file.read()

    def records(self) -> Iterator[Record | BadRow]:
        """A record an element of the list."""
        with self._encoding.open(self._path) as file:
            elements = _Elements(file)
            try:
                for line, value in elements.read():
                    yield keyed_record(value, line, self._headers, self._shown)
            except (ValueError, RecursionError) as error:
                where = Where(file=self._shown, row=elements.line)
                yield fatal_row(Problem(str(where), f"is not valid JSON: {error}"), where=where)


class _Elements:
    """The elements of a top-level list, from a window that slides over the text."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        self._window = ""
        self._place = 0
        self.line = 1

    def read(self) -> Iterator[tuple[int, Given]]:
        """Line and value of each; raises `ValueError` for what is no list of values."""
        self._expect("[")
        if self._peek() == "]":
            self._expect("]")
        else:
            yield from self._values()
        if self._peek():
            raise ValueError("text after the end of the list")

    def _values(self) -> Iterator[tuple[int, Given]]:
        sign = ","
        while sign == ",":
            self._peek()
            line, value = self.line, self._element()
            yield line, value
            sign = self._peek()
            self._expect(sign if sign in (",", "]") else ",")

    def _peek(self) -> str:
        """The next character that is not blank, empty at the end."""
        while True:
            while self._place < len(self._window) and self._window[self._place] in _BLANKS:
                self.line += self._is_line_end()
                self._place += 1
            if self._place < len(self._window):
                return self._window[self._place]
            if not self._more():
                return ""

    def _is_line_end(self) -> bool:
        return self._window[self._place] == "\n"

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise ValueError(f"expected {sign!r}, found {self._peek() or 'the end'!r}")
        self._place += 1

    def _more(self) -> bool:
        """Slide the window: forget what is read, and double what is not."""
        kept = self._window[self._place :]
        block = self._file.read(max(BLOCK, len(kept)))
        self._window, self._place = kept + block, 0
        return bool(block)

    def _element(self) -> Given:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._place)
            except json.JSONDecodeError as error:
                self._grow(error)
                continue
            self.line += self._window.count("\n", self._place, end)
            self._place = end
            return _encodable(value)

    def _grow(self, error: json.JSONDecodeError) -> None:
        edge = len(self._window) - LONGEST_TOKEN
        if error.pos < edge and not error.msg.startswith("Unterminated"):
            raise ValueError(error.msg) from None
        if len(self._window) - self._place > MAX_ELEMENT:
            raise ValueError(f"a row of more than {MAX_ELEMENT:,} characters") from None
        if not self._more():
            raise ValueError(error.msg) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _encodable(value: Given) -> Given:
    """Half a surrogate pair can be escaped in JSON, and can be written nowhere."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise ValueError("a text with half of a surrogate pair in it") from None
    return value


def checked_json(text: str, shown: str) -> object:
    """A whole JSON document; raises `ManifestError` with the line of what is wrong."""
    try:
        return _encodable(json.loads(text.lstrip("\ufeff"), parse_constant=_refuse_constant))
    except json.JSONDecodeError as error:
        problem = Problem(f"{shown}:{error.lineno}", f"is not valid JSON: {error.msg}")
        raise ManifestError([problem]) from None
    except (ValueError, RecursionError) as error:
        raise ManifestError([Problem(shown, f"is not valid JSON: {error}")]) from None
