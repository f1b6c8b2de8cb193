"""`run --repair`: files that are missing or damaged are fetched again, without another POST."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import FilesLost, Granted
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger import RunLedger
from batchgen.outputs.verify import BadFile, bad_files


async def reopen_damaged(run_dir: Path, book: RunLedger, *, now: str) -> tuple[BadFile, ...]:
    """Put jobs with a bad file back to `completed`, so that this run downloads them; says which.

    What lies under the name of a bad file is moved aside: it may be somebody's work. Raises
    `LocalIOError`.
    """
    found = tuple(bad_files(run_dir, book))
    _move_aside((run_dir / bad.file.path for bad in found if bad.exists), now)
    for job in dict.fromkeys(bad.job for bad in found):
        await book.record(job, FilesLost())
    return found


def _move_aside(paths: Iterable[Path], now: str) -> None:
    for path in paths:
        try:
            path.rename(path.with_name(f"{path.stem}.changed-{now.replace(':', '')}{path.suffix}"))
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; it is in the way") from error


RETRIABLE = (JobState.FAILED, JobState.IN_DOUBT, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Which jobs get one more attempt."""

    states: frozenset[JobState] = frozenset({JobState.FAILED})
    jobs: frozenset[str] = frozenset()
    """Only these, in whatever state of `RETRIABLE` they are; none: all of `states`."""

    def chooses(self, record: JobRecord) -> bool:
        """Whether this job is meant."""
        if self.jobs:
            return record.job in self.jobs and record.state in RETRIABLE
        return record.state in self.states


async def grant(retry: Retry, book: RunLedger, rows: Iterable[str]) -> frozenset[str]:
    """Allow one more attempt for the chosen jobs that still have a row; their ids."""
    chosen = {record.job for record in book.records(*RETRIABLE) if retry.chooses(record)}
    chosen.intersection_update(rows)
    for job in sorted(chosen):
        await book.record(job, Granted())
    return frozenset(chosen)
