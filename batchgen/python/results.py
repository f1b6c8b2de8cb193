"""The values that the Python interface returns. Plain, frozen, and without I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.history import jobs_by_state
from batchgen.core.lifecycle import JobState

if TYPE_CHECKING:
    from batchgen.app.run_command import RunCommand
    from batchgen.core.events import JobError, OutputFile
    from batchgen.core.lifecycle import JobRecord
    from batchgen.core.plan import Plan as CorePlan
    from batchgen.reports.results_csv import ResultRow
    from batchgen.system.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as the ledger has it."""

    id: str
    state: str
    """As in the ledger and in results.csv: `pending`, `downloaded`, `failed`, ..."""
    files: tuple[Path, ...] = ()
    """The files of the last take that is on disk, absolute. Of outputs in a bucket: none."""
    outputs: tuple[str, ...] = ()
    """The addresses of its outputs, as the API gave them; they expire."""
    cost_usd: float = 0.0
    """What the API reported for all of its attempts."""
    error: str | None = None
    """`kind: message` of a failure or a doubt."""

    @classmethod
    def of_record(cls, record: JobRecord, directory: RunDirectory) -> Job:
        """Return the job of a record that has just been written."""
        return cls(
            id=record.job, state=record.state.value, outputs=record.outputs,
            files=_absolute(record.files, directory), cost_usd=_rounded(record.total_cost_usd),
            error=_error_text(record.error),
        )  # fmt: skip

    @classmethod
    def of_row(cls, row: ResultRow, directory: RunDirectory) -> Job:
        """Return the job of a row of the results; a row without a record is `pending`."""
        if row.record is None:
            return cls(id=row.job, state=JobState.PENDING.value, error=row.because or None)
        shown = row.shown
        return cls(
            id=row.job, state=row.record.state.value,
            files=() if shown is None else _absolute(shown.files, directory),
            outputs=() if shown is None else shown.outputs,
            cost_usd=_rounded(row.record.total_cost_usd), error=_error_text(row.record.error),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, and what that is expected to cost."""

    groups: Mapping[str, int]
    """Jobs by what a run does with them: `submit_new`, `collect`, `done`, ..."""
    cost_usd: float
    """The expected cost of all submissions with a known price, and of what follows them."""
    submissions: int
    """The least number of submissions."""
    unpriced: int
    """Submissions without a known price, which `cost_usd` leaves out."""

    @classmethod
    def of(cls, plans: Iterable[CorePlan]) -> Plan:
        """Return the plan of one command, over all of its run directories."""
        groups: Counter[str] = Counter()
        cost_usd, submissions, unpriced = 0.0, 0, 0
        for plan in plans:
            groups.update({kind.name.lower(): count for kind, count in plan.counts.items()})
            cost_usd += plan.total_cost_usd
            submissions += plan.submissions
            unpriced += plan.unpriced
        return cls(
            groups=+groups, cost_usd=_rounded(cost_usd), submissions=submissions, unpriced=unpriced
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended, and the state that it left the batch in."""

    exit_code: int
    """That of `batchgen run`: 0 if all is well, 1 if jobs ended badly, 75 if jobs are left, ..."""
    reasons: tuple[str, ...]
    """In words; none for exit code 0."""
    jobs: Mapping[str, int]
    """Jobs by state, of the whole batch; a state that no job is in counts 0."""
    cost_usd: float
    """What the API reported for the whole batch, over all runs."""

    @classmethod
    def of(cls, command: RunCommand, exit_code: int) -> Summary:
        """Return the summary of a command that has ended, over all of its run directories."""
        jobs: Counter[str] = Counter()
        reasons = dict.fromkeys(command.reasons)
        for end in command.ends:
            jobs.update(jobs_by_state(end.summary))
            reasons.update(dict.fromkeys(end.reasons))
        cost_usd = sum(end.summary.cost_usd for end in command.ends)
        return cls(
            exit_code=exit_code, reasons=tuple(reasons), jobs=+jobs, cost_usd=_rounded(cost_usd)
        )


def _absolute(files: Iterable[OutputFile], directory: RunDirectory) -> tuple[Path, ...]:
    base = directory.path.absolute()
    return tuple(base / file.path for file in files if "://" not in file.path)


def _error_text(error: JobError | None) -> str | None:
    return None if error is None else f"{error.kind}: {error.message}"


def _rounded(amount_usd: float) -> float:
    return round(amount_usd, 6)
