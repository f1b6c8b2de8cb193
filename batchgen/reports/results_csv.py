"""results.csv: one row per job in the manifest's order, the input columns first.

The same state gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.spreadsheet import RESULT_COLUMNS, carried_names, defuse
from batchgen.system.files import replace_file

INVALID = "invalid"
"""In place of a state, for a wrong row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One job of the results, or a wrong row."""

    job: str
    """Empty for a wrong row that has no id, or one that is a job's."""
    columns: Mapping[str, str]
    record: JobRecord | None
    problems: tuple[str, ...] = ()
    """Mistakes in the row; a row with mistakes was never a job."""


def write_results(path: Path, columns: Sequence[str], rows: Iterable[ResultRow]) -> None:
    """Replace the file. Raises `LocalIOError`."""

    def write(file: IO[str]) -> None:
        file.write(_line((*carried_names(columns), *RESULT_COLUMNS)))
        for row in rows:
            given = (row.columns.get(name, "") for name in columns)
            file.write(_line((*given, *result_cells(row).values())))

    replace_file(path, write)


_SPECIAL = re.compile('[,"\n\r\v\f\x1c-\x1e\x85\u2028\u2029]')
"""What makes quotes necessary: the delimiter, quotes, and whatever some program takes for the end
of a line, because what follows would be a cell of its own that nobody has defused."""


def _line(cells: Iterable[str]) -> str:
    safe = [defuse(cell) if cell else "" for cell in cells]
    if _SPECIAL.search("".join(safe)):
        safe = [_quoted(cell) for cell in safe]
    return ",".join(safe) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def result_cells(row: ResultRow) -> dict[str, str]:
    """Return the cells of `RESULT_COLUMNS`, by column."""
    cells = dict.fromkeys(RESULT_COLUMNS, "")
    cells["job"] = row.job
    if row.problems:
        cells["state"], cells["error"] = INVALID, "\n".join(row.problems)
    elif row.record is None:
        cells["state"], cells["attempts"] = JobState.PENDING.value, "0"
    else:
        cells.update(_cells_of_record(row.record))
    return cells


def _cells_of_record(record: JobRecord) -> dict[str, str]:
    cost = record.total_cost_usd
    return {
        "state": record.state.value,
        "request_id": record.request_id or "",
        "outputs": "\n".join(record.outputs),
        "files": "\n".join(file.path for file in record.files),
        "cost_usd": f"{cost:.6f}".rstrip("0").rstrip(".") if cost else "",
        "attempts": str(record.attempts),
        "error": f"{record.error.kind}: {record.error.message}" if record.error else "",
        "submitted_at": record.submitted_at or "",
        "finished_at": record.finished_at or "",
        "take": "1",
    }
