"""One row a line: plain text (a prompt each) and JSON lines (an object or a text each)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from batchgen.core.errors import Problem
from batchgen.core.jobs import Where
from batchgen.core.schema import Given, shown
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.inline_rows import KeyedHeaders
from batchgen.manifest.header import BadRow, Header, HeaderKind, Record

MAX_LINE = 1_000_000
"""Characters of one line."""


class TextFile:
    """A `.txt` file: every line that is not blank is a prompt."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._encoding = detect(path, shown)
        self.header = Header(file=shown, names=("prompt",), kind=HeaderKind.KEYS)

    def records(self) -> Iterator[Record | BadRow]:
        """A record a line, numbered as an editor numbers them."""
        header = self.header
        with self._encoding.open(self._path) as file:
            for number, line in numbered_lines(file):
                if line is None:
                    yield too_long(header.file, number)
                elif line and not line.isspace():
                    yield Record(number, header, [line])


class JSONLines:
    """A `.jsonl` or `.ndjson` file."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._encoding = detect(path, shown)
        self._headers = KeyedHeaders(shown, HeaderKind.KEYS)
        self.header: Header | None = None

    def records(self) -> Iterator[Record | BadRow]:
        """A record a line that is not blank."""
        decode = msgspec.json.Decoder().decode
        with self._encoding.open(self._path) as file:
            for number, line in numbered_lines(file):
                if line is None:
                    yield too_long(self._shown, number)
                elif line and not line.isspace():
                    try:
                        value: Given = decode(line)
                    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
                        yield bad_line(self._shown, number, f"is not valid JSON: {error}")
                    else:
                        yield keyed_record(value, number, self._headers, self._shown)


def keyed_record(value: Given, number: int, headers: KeyedHeaders, file: str) -> Record | BadRow:
    """The row that one JSON value is: an object, or a text that is a prompt."""
    if isinstance(value, str):
        return Record(number, headers.header(("prompt",)), [value])
    if not isinstance(value, dict):
        return bad_line(file, number, f"expected an object or a text, got {shown(value)}")
    if len(value) > MAX_KEYS:
        return bad_line(file, number, f"has {len(value):,} keys; at most {MAX_KEYS:,} are allowed")
    return Record(number, headers.header(tuple(value)), list(value.values()))


MAX_KEYS = 2000
"""Keys of one object."""


def numbered_lines(file: TextIO) -> Iterator[tuple[int, str | None]]:
    """Lines without their ends, from 1; None for one that is too long, which is not kept."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if line[-1] in "\r\n":
            yield number, line.rstrip("\r\n")
        elif len(line) < MAX_LINE:
            yield number, line
        else:
            yield number, None
            while line and line[-1] not in "\r\n":
                line = file.readline(MAX_LINE)


def too_long(file: str, number: int) -> BadRow:
    """A line with more characters than any prompt has."""
    return bad_line(file, number, f"has more than {MAX_LINE:,} characters")


def bad_line(file: str, number: int, what: str) -> BadRow:
    """A line that is no row."""
    where = Where(file=file, row=number)
    return BadRow(where=where, problems=(Problem(str(where), what),))
