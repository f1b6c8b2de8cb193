"""Files of one row per line: plain text (a prompt each) and JSON lines (an object or text each)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from batchgen.core.jobs import Where
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.core.schema.values import Given, shown
from batchgen.manifest.formats.encoding import EncodedFile, detect
from batchgen.manifest.header import (
    BadRow,
    Header,
    HeaderKind,
    ReadOptions,
    Record,
    bad_row,
    folded,
    keyed_header,
)

MAX_LINE = 1_000_000
"""Characters of one line."""
MAX_KEYS = 2000
"""Keys of one object."""
_HEADERS = frozenset({"prompt", "prompts"})
_NOT_A_PROMPT = "reads like a header, which a list of prompts does not have; remove it"


class TextFile:
    """A `.txt` file: every line that is not blank is a prompt."""

    def __init__(self, file: EncodedFile, shown: str) -> None:
        self._file = file
        self._header = Header(file=shown, names=("prompt",), kind=HeaderKind.KEYS)
        self.headers = (self._header,)
        self.notes = file.notes

    def records(self) -> Iterator[Record | BadRow]:
        """Yield a record for each line, numbered as an editor numbers them."""
        with self._file.open() as file:
            for number, line in _lines(file, self._header.file):
                if isinstance(line, BadRow):
                    yield line
                elif folded(line) in _HEADERS:
                    where = Where(file=self._header.file, row=number)
                    yield bad_row(where, _NOT_A_PROMPT)
                else:
                    yield Record(number, self._header, [line])


class JSONLines:
    """A `.jsonl` or `.ndjson` file."""

    headers: Sequence[Header] = ()

    def __init__(self, path: Path, shown: str, options: ReadOptions) -> None:
        self._file = detect(path, shown, options.encoding)
        self._shown = shown
        self._drop = options.drop
        self.notes = self._file.notes

    def records(self) -> Iterator[Record | BadRow]:
        """Yield a record for each line that is not blank."""
        with self._file.open() as file:
            for number, line in _lines(file, self._shown):
                if isinstance(line, BadRow):
                    yield line
                    continue
                try:
                    value: Given = decode_json(line.encode(errors="surrogatepass"))
                except BadJSON as error:
                    where = Where(file=self._shown, row=number)
                    yield bad_row(where, f"is not valid JSON: {error}")
                else:
                    yield json_record(value, self._shown, number, self._drop)


def json_record(
    value: Given, file: str, number: int, drop: frozenset[str] = frozenset()
) -> Record | BadRow:
    """Return the row that one JSON value is: an object, or a text that is a prompt."""
    if isinstance(value, dict) and len(value) <= MAX_KEYS:
        return Record(number, keyed_header(file, tuple(value), drop=drop), list(value.values()))
    if isinstance(value, str):
        return Record(number, keyed_header(file, ("prompt",)), [value])
    what = f"expected an object or a text, got {'null' if value is None else shown(value)}"
    if isinstance(value, dict):
        what = f"has {len(value):,} keys; at most {MAX_KEYS:,} are allowed"
    return bad_row(Where(file=file, row=number), what)


def _lines(file: TextIO, shown: str) -> Iterator[tuple[int, str | BadRow]]:
    """Yield the lines that are not blank, numbered from 1, and a bad row for one that is too long.

    A line that is too long is not held in memory.
    """
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if line[-1] in "\r\n" or len(line) < MAX_LINE:
            line = line.rstrip("\r\n").lstrip("\ufeff")
            if line and not line.isspace():
                yield number, line
            continue
        where = Where(file=shown, row=number)
        yield number, bad_row(where, f"has more than {MAX_LINE:,} characters")
        while line and line[-1] not in "\r\n":
            line = file.readline(MAX_LINE)
