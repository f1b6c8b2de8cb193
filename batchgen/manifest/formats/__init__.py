"""The formats of manifests, by the ending of a file's name; one module reads each."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.suggest import did_you_mean

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
