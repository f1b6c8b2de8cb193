"""Columns with a meaning of their own, those that results.csv adds, and the defusing of cells.

A prompt may begin with `=`, and a remote error message can be anything: opened in a spreadsheet,
such a cell could run as a formula. A leading apostrophe makes it text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from batchgen.core.suggest import did_you_mean

OUR_WORDS = ("prompt", "id", "model", "repeat", "enabled")
"""The columns of a manifest that mean the same for every model."""
FILE_COLUMN = "file"
"""The column of a directory as manifest, for the model's first parameter that takes a file."""
RESULT_COLUMNS = (
    "job", "state", "request_id", "outputs", "files", "cost_usd", "attempts", "error",
    "submitted_at", "finished_at", "step", "take", "verdict", "note", "checks",
)  # fmt: skip
"""The columns of results.csv after the input columns."""
PREVIEW = "preview"
"""The column of thumbnails that a workbook of results has besides."""
_VERSIONS = (RESULT_COLUMNS, RESULT_COLUMNS[:10])
"""The added columns of this version, and of those before it."""
_PREFIX = "input."


def column_named(name: str, columns: Sequence[str]) -> str:
    """Return a column as the spreadsheet spells it; upper or lower case does not matter.

    Raises ValueError, with a sentence, if there is none of that name.
    """
    wanted = name.strip().casefold()
    found = next((one for one in columns if one.strip().casefold() == wanted), None)
    if found is None:
        raise ValueError(f"there is no column {name!r}{did_you_mean(name, columns)}")
    return found


def carried_names(names: Sequence[str]) -> list[str]:
    """Return the names under which results.csv carries these input columns.

    One that is called like an added column gets the prefix `input.`; so does one that has that
    prefix already, if the two would have the same name otherwise. Case does not matter.
    """
    present = {name.casefold() for name in names}
    added = {*RESULT_COLUMNS, PREVIEW}

    def carried(name: str) -> str:
        bare = name.casefold()
        while bare.startswith(_PREFIX) and bare.removeprefix(_PREFIX) in present:
            bare = bare.removeprefix(_PREFIX)
        return _PREFIX + name if bare in added else name

    return [carried(name) for name in names]


def read_back(names: Sequence[str]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return the input columns' own names in a header of results, and the columns that were added.

    A column called `state` or `note` alone is the user's own: only if all of the added columns are
    there, side by side, these are results. No column of any other header is added.
    """
    compared = tuple(name.casefold() for name in names)
    for added in _VERSIONS:
        for start in range(len(compared) - len(added), -1, -1):
            if compared[start : start + len(added)] == added:
                ours = set(range(start, start + len(added)))
                known = set(added)
                if added is RESULT_COLUMNS:
                    ours.update(i for i, name in enumerate(compared) if name == PREVIEW)
                    known.add(PREVIEW)
                return tuple(_original(name, known) for name in names), frozenset(ours)
    return tuple(names), frozenset()


def _original(name: str, added: Container[str]) -> str:
    """Undo `carried_names` and `defuse`."""
    name = restore(name)
    bare = name.casefold()
    while bare.startswith(_PREFIX):
        bare = bare.removeprefix(_PREFIX)
        if bare in added:
            return name[len(_PREFIX) :]
    return name


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MAY_RUN = frozenset("'=+-@\t\r")
"""What a cell begins with that could run, or that `defuse` has made harmless."""
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def defuse(cell: str) -> str:
    """Return the cell as text, with an apostrophe if it could run; plain numbers stay numbers."""
    if cell[:1] not in _MAY_RUN or not _FORMULA.match(cell) or _NUMBER.fullmatch(cell):
        return cell
    return "'" + cell


def restore(cell: str) -> str:
    """Undo `defuse`."""
    return cell[1:] if _DEFUSED.match(cell) else cell
