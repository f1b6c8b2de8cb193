"""Files of rows by their format: one way to open each, one way to read all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.delimited import DelimitedFile
from batchgen.manifest.formats.json_file import JSONFile, read_json_settings
from batchgen.manifest.formats.line_files import JSONLines, TextFile
from batchgen.manifest.formats.workbook import WorkbookFile
from batchgen.manifest.formats.yaml_tree import Mapped, read_yaml_settings
from batchgen.manifest.header import BadRow, Header, Record

FORMATS = {
    ".yaml": "yaml", ".yml": "yaml", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".xlsx": "xlsx", ".txt": "txt",
}  # fmt: skip
"""By the ending of a file's name, which is what `--format` takes too, without the dot."""


class RowSource(Protocol):
    """Rows that can be read again and again."""

    @property
    def headers(self) -> Sequence[Header]:
        """The headers that are known before the first row is read."""

    def records(self) -> Iterator[Record | BadRow]:
        """Yield the rows, from the first."""


def format_of(path: Path, wanted: str | None, shown: str) -> str:
    """Return the format of a file: `wanted`, or by its name if that is None."""
    if wanted is not None:
        names = [ending.removeprefix(".") for ending in FORMATS]
        word = wanted.strip().lower().removeprefix(".")
        if word not in names:
            hint = did_you_mean(word, names) or f"; formats are {', '.join(names)}"
            raise ManifestError([Problem(shown, f"unknown format {wanted!r}{hint}")])
        return FORMATS[f".{word}"]
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        kinds = ", ".join(FORMATS)
        what = f"a file of unknown kind {path.suffix!r}; known are {kinds}, or say --format"
        raise ManifestError([Problem(shown, what)])
    return found


def read_settings_tree(path: Path, shown: str, format_: str) -> Mapped | None:
    """Return the mapping at the top of a manifest, or None for a file that has only rows.

    Raises `ManifestError` for a YAML or JSON file that is neither.
    """
    if format_ == "yaml":
        return read_yaml_settings(path, shown)
    return read_json_settings(path, shown) if format_ == "json" else None


def open_rows(
    path: Path, shown: str, format_: str, *, sheet: str | None, header_row: int | None = None
) -> RowSource:
    """Open a file of rows and read its header.

    Raises `ManifestError` for one that cannot be read.
    """
    if format_ in ("csv", "tsv"):
        return DelimitedFile(path, shown, is_tsv=format_ == "tsv", header_row=header_row)
    if format_ == "xlsx":
        return WorkbookFile(path, shown, sheet=sheet, header_row=header_row)
    if format_ == "json":
        return JSONFile(path, shown)
    return JSONLines(path, shown) if format_ == "jsonl" else TextFile(path, shown)
