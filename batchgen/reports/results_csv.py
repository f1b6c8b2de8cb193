"""results.csv: one row per job in the manifest's order, the input columns first.

The same state gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from batchgen.core.events import OutputFile
from batchgen.core.jobs import Wait
from batchgen.core.lifecycle import JobRecord, JobState, Take
from batchgen.core.reviews import Verdict
from batchgen.core.spreadsheet import RESULT_COLUMNS, carried_names, defuse
from batchgen.system.files import replace_file

INVALID = "invalid"
"""In place of a state, for a wrong row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRow:
    """One take of a job, as the results and the page show it."""

    take: int
    state: str
    files: tuple[OutputFile, ...] = ()
    outputs: tuple[str, ...] = ()
    cost_usd: float | None = None
    submitted_at: str | None = None
    verdict: str = ""
    note: str = ""
    verdict_at: str = ""
    """When the verdict was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One job of the results, or a wrong row."""

    job: str
    """Empty for a wrong row that has no id, or one that is a job's."""
    columns: Mapping[str, str]
    record: JobRecord | None
    model: str = ""
    """The model that the row names."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The input that the row asks for."""
    checks: tuple[str, ...] = ()
    """What an inspection of the shown files found."""
    problems: tuple[str, ...] = ()
    """Mistakes in the row; a row with mistakes was never a job."""
    step: str = ""
    before: str = ""
    """The job that it is made from; empty for the row's own job."""
    wait: Wait | None = None
    """Why it cannot be submitted now."""
    because: str = ""
    """The error of the job that it waits for."""
    takes: tuple[TakeRow, ...] = ()
    """Every take of the present input, the present one last; none if nothing was submitted."""

    @property
    def take(self) -> TakeRow | None:
        """The present take: the one that state, error and verdict are about."""
        if self.takes:
            return self.takes[-1]
        return None if self.record is None else _take_row(self.record.present_take, None)

    @property
    def shown(self) -> TakeRow | None:
        """The take whose files are shown: the last one on disk, or else the present one."""
        good = (one for one in reversed(self.takes) if one.files)
        return next(good, self.take)


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
    cells["job"], cells["step"] = row.job, row.step
    if row.problems:
        cells["state"], cells["error"] = INVALID, "\n".join(row.problems)
    elif row.record is None:
        cells["state"], cells["attempts"] = JobState.PENDING.value, "0"
        cells["error"] = row.because
    else:
        cells.update(_cells_of_record(row.record))
    if (shown := row.shown) is not None:
        cells["outputs"] = "\n".join(shown.outputs)
        cells["files"] = "\n".join(file.path for file in shown.files)
        cells["checks"] = "\n".join(row.checks)
    if (take := row.take) is not None:
        cells["verdict"], cells["note"] = take.verdict, take.note
    return cells


def takes_of(
    record: JobRecord | None,
    verdict: Callable[[JobRecord], Verdict | None],
    verdict_on: Callable[[str, Take], Verdict | None],
) -> tuple[TakeRow, ...]:
    """Return the takes of a job, each with the last verdict on it."""
    if record is None:
        return ()
    earlier = (_take_row(one, verdict_on(record.job, one)) for one in record.takes)
    return (*earlier, _take_row(record.present_take, verdict(record)))


def _take_row(take: Take, verdict: Verdict | None) -> TakeRow:
    return TakeRow(
        take=take.take,
        state=take.ended,
        files=take.files,
        outputs=take.outputs,
        cost_usd=take.cost_usd,
        submitted_at=take.submitted_at,
        verdict=verdict.verdict.value if verdict is not None else "",
        note=verdict.note if verdict is not None else "",
        verdict_at=verdict.ts if verdict is not None else "",
    )


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
        "take": str(record.take),
        **({"step": record.step} if record.step else {}),
    }
