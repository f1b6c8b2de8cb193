"""Files of rows by their format: one way to open each, one way to read all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from batchgen.manifest.formats.delimited import DelimitedFile, is_table
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.json_file import JSONFile, read_json_settings
from batchgen.manifest.formats.line_files import JSONLines, TextFile
from batchgen.manifest.formats.workbook import WorkbookFile
from batchgen.manifest.formats.yaml_tree import Mapped, read_yaml_settings
from batchgen.manifest.header import BadRow, Header, ReadOptions, Record


class RowSource(Protocol):
    """Rows that can be read again and again."""

    @property
    def headers(self) -> Sequence[Header]:
        """The headers that are known before the first row is read."""

    @property
    def notes(self) -> Sequence[str]:
        """What the plan says about the file; complete after one pass over its rows."""

    def records(self) -> Iterator[Record | BadRow]:
        """Yield the rows, from the first."""


def read_settings_tree(
    path: Path, shown: str, format_: str, encoding: str | None = None
) -> Mapped | None:
    """Return the mapping at the top of a manifest, or None for a file that has only rows.

    Raises `ManifestError` for a YAML or JSON file that is neither.
    """
    if format_ == "yaml":
        return read_yaml_settings(path, shown, encoding)
    return read_json_settings(path, shown, encoding) if format_ == "json" else None


def open_rows(path: Path, shown: str, format_: str, options: ReadOptions) -> RowSource:
    """Open a file of rows and read its header.

    Raises `ManifestError` for one that cannot be read.
    """
    if format_ in ("csv", "tsv"):
        return DelimitedFile(path, shown, is_tsv=format_ == "tsv", options=options)
    if format_ == "xlsx":
        return WorkbookFile(path, shown, options)
    if format_ == "json":
        return JSONFile(path, shown, options)
    if format_ == "jsonl":
        return JSONLines(path, shown, options)
    text = detect(path, shown, options.encoding)
    if is_table(text):
        return DelimitedFile(path, shown, is_tsv=True, options=options)
    return TextFile(text, shown)
