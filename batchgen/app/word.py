"""A person's word on jobs that ended badly or in doubt: `resolve`, and what `retry` grants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from batchgen.app.turn import Turn
from batchgen.clock import SystemClock
from batchgen.core.errors import UsageError
from batchgen.core.events import Attached, GivenUp, Granted
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Records
from batchgen.ledger import LedgerBook

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


async def grant(retry: Retry, book: LedgerBook, rows: Iterable[str]) -> frozenset[str]:
    """Allow one more attempt for the chosen jobs that still have a row; their ids."""
    chosen = {record.job for record in book.records(*RETRIABLE) if retry.chooses(record)}
    chosen.intersection_update(rows)
    for job in sorted(chosen):
        await book.record(job, Granted())
    return frozenset(chosen)


async def resolve_in(
    run_dir: Path, job: str, word: Attached | GivenUp | Granted, turn: Turn
) -> JobRecord:
    """`resolve` in the ledger of a run directory. Raises `LockHeld` while a run is at work."""
    lock = await turn.take(run_dir)
    book = LedgerBook.open_existing(run_dir, clock=SystemClock(), lock=lock)
    try:
        return await resolve(book, job, word)
    finally:
        await book.close()


async def resolve(book: LedgerBook, job: str, word: Attached | GivenUp | Granted) -> JobRecord:
    """Put a person's word on record. Raises `UsageError` where it makes no sense."""
    record = book.get(job)
    if record is None:
        raise UsageError(f"no job {job!r} in this ledger; status and results.csv name them")
    allowed = (JobState.FAILED, JobState.IN_DOUBT) if isinstance(word, Attached) else RETRIABLE
    if record.state not in allowed:
        raise UsageError(
            f"job {job!r} is {record.state.value}; this can be said of a job that is"
            f" {', '.join(state.value for state in allowed)}"
        )
    if isinstance(word, Attached) and (owner := _owner(book, word.request_id)):
        raise UsageError(f"request {word.request_id} belongs to job {owner!r} already")
    return await book.record(job, word)


def _owner(records: Records, request_id: str) -> str | None:
    return next((r.job for r in records.records() if r.request_id == request_id), None)
