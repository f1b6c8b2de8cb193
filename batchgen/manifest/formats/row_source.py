"""Files of rows by their format: one way to open each, one way to read all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.delimited import DelimitedFile, is_table
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.json_file import JSONFile, read_json_settings
from batchgen.manifest.formats.line_files import JSONLines, TextFile
from batchgen.manifest.formats.workbook import WorkbookFile
from batchgen.manifest.formats.yaml_tree import Mapped, read_yaml_settings
from batchgen.manifest.header import BadRow, Header, ReadOptions, Record

FORMATS = {
    ".yaml": "yaml", ".yml": "yaml", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".xlsx": "xlsx", ".txt": "txt",
}  # fmt: skip
"""By the ending of a file's name, which is what `--format` takes too, without the dot."""
_OTHER_PROGRAMS = {
    ".xls": "an old Excel workbook", ".xlsb": "a binary Excel workbook",
    ".xlsm": "an Excel workbook with macros", ".ods": "an OpenDocument spreadsheet",
    ".numbers": "an Apple Numbers spreadsheet", ".gsheet": "a link to a Google sheet",
    ".docx": "a Word document", ".pdf": "a PDF", ".rtf": "a rich text document",
    ".html": "a web page", ".htm": "a web page",
}  # fmt: skip
"""Files in which people keep lists and which cannot be read: what each is."""


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


def format_of(path: Path, wanted: str | None, shown: str) -> str:
    """Return the format of a file: `wanted`, or by its name if that is None."""
    if wanted is not None:
        names = [ending.removeprefix(".") for ending in FORMATS]
        word = wanted.strip().lower().removeprefix(".")
        if word not in names:
            hint = did_you_mean(word, names) or f"; formats are {', '.join(names)}"
            raise ManifestError([Problem(shown, f"unknown format {wanted!r}{hint}")])
        return FORMATS[f".{word}"]
    ending = path.suffix.lower()
    found = FORMATS.get(ending)
    if other := _OTHER_PROGRAMS.get(ending):
        raise ManifestError([Problem(shown, f"is {other}; save it as .xlsx or CSV")])
    if found is None:
        kinds = ", ".join(FORMATS)
        what = f"a file of unknown kind {path.suffix!r}; known are {kinds}, or say --format"
        raise ManifestError([Problem(shown, what)])
    return found


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
