"""Columns with a meaning of their own, those that results.csv adds, and the defusing of cells.

A prompt may begin with `=`, and a remote error message can be anything: opened in a spreadsheet,
such a cell could run as a formula. A leading apostrophe makes it text.
"""

from __future__ import annotations

import re

OUR_WORDS = ("prompt", "id", "model", "repeat", "enabled")
"""The columns of a manifest that mean the same for every model."""
RESULT_COLUMNS = (
    "job", "state", "request_id", "outputs", "files", "cost_usd", "attempts", "error",
    "submitted_at", "finished_at",
)  # fmt: skip
"""The columns of results.csv after the input columns."""


def carried_name(name: str) -> str:
    """Return the name under which results.csv carries an input column.

    An input column that is called like one of `RESULT_COLUMNS` gets the prefix `input.`.
    """
    return f"input.{name}" if name in RESULT_COLUMNS else name


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def defuse(cell: str) -> str:
    """Return the cell as text, with an apostrophe if it could run; plain numbers stay numbers."""
    if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return "'" + cell
    return cell


def restore(cell: str) -> str:
    """Undo `defuse`."""
    return cell[1:] if _DEFUSED.match(cell) else cell
