"""JSON files: a list of rows, read element by element, or a manifest with settings.

A list of a million rows is never in memory as a whole. The number of a row is the line on which
it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Where
from batchgen.core.json_reader import MAX_DEPTH, is_too_deep
from batchgen.core.schema.values import Given
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.line_files import json_record
from batchgen.manifest.formats.yaml_tree import Listed, Mapped, NotYAML, read_yaml, refuse_large
from batchgen.manifest.header import BadRow, Header, ReadOptions, Record, bad_row

BLOCK = 1 << 16
MAX_ELEMENT = 4_000_000
"""Characters of one row."""
LONGEST_TOKEN = 12
"""Characters of `false` or an escape that the end of the window may cut."""
_BLANKS = " \t\r\n\ufeff"


def read_json_settings(path: Path, shown: str, encoding: str | None = None) -> Mapped | None:
    """Return the object that a JSON manifest is, or None for a list of rows.

    Raises `ManifestError` for a file that is neither.
    """
    encoded = detect(path, shown, encoding)
    with encoded.open() as file:
        first = _Elements(file).peek()
    if first == "[":
        return None
    if first != "{":
        what = "is not a JSON list or object" if first else "is empty"
        raise ManifestError([Problem(shown, what)])
    refuse_large(path, shown)
    with encoded.open() as file:
        text = file.read()
    value = _checked_json(text, shown)
    try:
        document = read_yaml(text, shown)
    except NotYAML:
        document = _without_lines(value)
    if not isinstance(document, Mapped):
        return None
    document.notes = (*encoded.notes, *document.notes)
    return document


def _checked_json(text: str, shown: str) -> object:
    try:
        _refuse_deep(text)
        return _encodable(json.loads(text.lstrip("\ufeff"), parse_constant=_refuse_constant))
    except json.JSONDecodeError as error:
        problem = Problem(f"{shown}:{error.lineno}", f"is not valid JSON: {error.msg}")
        raise ManifestError([problem]) from None
    except (ValueError, RecursionError) as error:
        raise ManifestError([Problem(shown, f"is not valid JSON: {error}")]) from None


def _without_lines(value: object) -> Given:
    """Return JSON that YAML cannot read (tabs, escaped pairs) as a tree, all of it on line 1."""
    if isinstance(value, dict):
        mapping = Mapped(1)
        mapping.update({str(key): _without_lines(item) for key, item in value.items()})
        mapping.lines.update(dict.fromkeys(mapping, 1))
        return mapping
    if isinstance(value, list):
        entries = Listed(1)
        entries.extend(_without_lines(item) for item in value)
        entries.lines.extend([1] * len(value))
        return entries
    return value if isinstance(value, (str, bool, int, float)) else None


class JSONFile:
    """A `.json` file whose top level is a list."""

    headers: Sequence[Header] = ()

    def __init__(self, path: Path, shown: str, options: ReadOptions) -> None:
        self._file = detect(path, shown, options.encoding)
        self._shown = shown
        self._drop = options.drop
        self.notes = self._file.notes

    def records(self) -> Iterator[Record | BadRow]:
        """Yield a record for each element of the list."""
        with self._file.open() as file:
            elements = _Elements(file)
            try:
                for line, value in elements.read():
                    yield json_record(value, self._shown, line, self._drop)
            except (ValueError, RecursionError) as error:
                where = Where(file=self._shown, row=elements.line)
                yield bad_row(where, f"is not valid JSON: {error}", fatal=True)


class _Elements:
    """The elements of a top-level list, from a window that slides over the text."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        self._window = ""
        self._place = 0
        self.line = 1

    def read(self) -> Iterator[tuple[int, Given]]:
        """Yield line and value of each; raise `ValueError` for what is not a list of values."""
        self._expect("[")
        is_last = self.peek() == "]"
        if is_last:
            self._expect("]")
        while not is_last:
            self.peek()
            line, value = self.line, self._element()
            yield line, value
            is_last = self.peek() == "]"
            self._expect("]" if is_last else ",")
        if self.peek():
            raise ValueError("text after the end of the list")

    def peek(self) -> str:
        """Return the next character that is not blank, empty at the end."""
        while True:
            while self._place < len(self._window) and self._window[self._place] in _BLANKS:
                self.line += self._window[self._place] == "\n"
                self._place += 1
            if self._place < len(self._window):
                return self._window[self._place]
            if not self._more():
                return ""

    def _expect(self, sign: str) -> None:
        if self.peek() != sign:
            raise ValueError(f"expected {sign!r}, found {self.peek() or 'the end'!r}")
        self._place += 1

    def _more(self) -> bool:
        """Read on, return whether there was more: drop what is used, and double what is not."""
        rest = self._window[self._place :]
        block = self._file.read(max(BLOCK, len(rest)))
        self._window, self._place = rest + block, 0
        return bool(block)

    def _element(self) -> Given:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._place)
            except json.JSONDecodeError as error:
                self._grow(error)
                continue
            self.line += self._window.count("\n", self._place, end)
            _refuse_deep(self._window[self._place : end])
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
    raise ValueError(f"{name} is not a JSON number")


def _refuse_deep(text: str) -> None:
    if is_too_deep(text.encode(errors="surrogatepass")):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _encodable(value: Given) -> Given:
    """Return the value; raise `ValueError` for half a surrogate pair, which no file can hold."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise ValueError("a text with half of a surrogate pair in it") from None
    return value
