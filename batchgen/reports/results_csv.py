"""results.csv: one row per job in the manifest's order, the input columns first.

The same state gives the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.spreadsheet import RESULT_COLUMNS, carried_name, defuse
from batchgen.system.files import replace_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One job of the results, or a wrong row."""

    job: str
    columns: Mapping[str, str]
    record: JobRecord | None
    problems: tuple[str, ...] = ()
    """Mistakes in the row; a row with mistakes was never a job."""


def write_results(path: Path, columns: Sequence[str], rows: Iterable[ResultRow]) -> None:
    """Replace the file. Raises `LocalIOError`."""
    carried = [carried_name(name) for name in columns]

    def write(file: IO[str]) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([defuse(name) for name in (*carried, *RESULT_COLUMNS)])
        for row in rows:
            given = (row.columns.get(name, "") for name in columns)
            writer.writerow([defuse(cell) for cell in (*given, *result_cells(row).values())])

    replace_file(path, write)


def result_cells(row: ResultRow) -> dict[str, str]:
    """Return the cells of `RESULT_COLUMNS`, by column."""
    record = row.record or JobRecord(ts="", job=row.job, state=JobState.PENDING)
    error = f"{record.error.kind}: {record.error.message}" if record.error else ""
    cost = record.total_cost_usd
    cells = (
        record.job,
        "invalid" if row.problems else record.state.value,
        record.request_id or "",
        "\n".join(record.outputs),
        "\n".join(file.path for file in record.files),
        f"{cost:.6f}".rstrip("0").rstrip(".") if cost else "",
        str(record.attempts),
        "\n".join(row.problems) or error,
        record.submitted_at or "",
        record.finished_at or "",
    )
    return dict(zip(RESULT_COLUMNS, cells, strict=True))
