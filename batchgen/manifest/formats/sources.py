"""Files of rows by their format: one way to open each, one way to read all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.delimited import DelimitedFile
from batchgen.manifest.formats.json_file import JSONFile
from batchgen.manifest.formats.line_files import JSONLines, TextFile
from batchgen.manifest.formats.workbook import WorkbookFile
from batchgen.manifest.header import BadRow, Header, Record

SUFFIXES = {
    ".yaml": "yaml", ".yml": "yaml", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".xlsx": "xlsx", ".txt": "txt",
}  # fmt: skip
FORMATS = ("yaml", "yml", "csv", "tsv", "jsonl", "ndjson", "json", "xlsx", "txt")


class RowSource(Protocol):
    """Rows that can be read again and again."""

    @property
    def header(self) -> Header | None:
        """The one header of all rows; None where rows have their own keys."""

    def records(self) -> Iterator[Record | BadRow]:
        """The rows, from the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file of rows is to be read."""

    format: str | None = None
    sheet: str | None = None
    header_row: int | None = None


def format_of(path: Path, wanted: str | None, shown: str) -> str:
    """The format of a file: the wanted one, else by its name."""
    if wanted is not None:
        word = wanted.strip().lower().removeprefix(".")
        if word not in FORMATS:
            hint = did_you_mean(word, FORMATS) or f"; formats are {', '.join(FORMATS)}"
            raise ManifestError([Problem(shown, f"unknown format {wanted!r}{hint}")])
        return SUFFIXES[f".{word}"]
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        kinds = ", ".join(SUFFIXES)
        what = f"a file of unknown kind {path.suffix!r}; known are {kinds}, or say --format"
        raise ManifestError([Problem(shown, what)])
    return found


def open_source(path: Path, shown: str, reading: Reading) -> RowSource:
    """A file of rows, its head read. Raises `ManifestError` for one that cannot be read."""
    kind = format_of(path, reading.format, shown)
    if kind in ("csv", "tsv"):
        return DelimitedFile(path, shown, format_name=kind, header_row=reading.header_row)
    if kind == "xlsx":
        return WorkbookFile(path, shown, sheet=reading.sheet, header_row=reading.header_row)
    if kind == "jsonl":
        return JSONLines(path, shown)
    if kind == "json":
        return JSONFile(path, shown)
    if kind == "txt":
        return TextFile(path, shown)
    raise ManifestError([Problem(shown, f"format {kind!r} cannot hold rows here")])
