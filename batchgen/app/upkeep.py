"""`batchgen ledger`: look after the ledger of a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from batchgen.app.batch import load
from batchgen.app.filecheck import BadFile, bad_files
from batchgen.app.opening import latest, open_at, place_of
from batchgen.app.options import Target
from batchgen.app.remembered import manifest_of
from batchgen.app.rundir import Dated
from batchgen.app.turn import Turn
from batchgen.clock import SystemClock
from batchgen.core.errors import BatchgenError, LedgerForeign, UsageError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.moments import timestamp
from batchgen.core.plan import Records
from batchgen.ledger import LEDGER_NAME, RunLock, replay
from batchgen.ledger.compact import Compacted, compact
from batchgen.ledger.faults import Examination, examine
from batchgen.ledger.repair import Repaired, repair
from batchgen.ledger.story import story_of


def directory_of(target: Target) -> Path:
    """The run directory that is meant; of a dated series the newest.

    Raises `UsageError` where neither a manifest nor a directory is named.
    """
    if not target.manifest and target.run_dir is None:
        raise UsageError("which ledger? name its MANIFEST, or --run-dir DIR")
    place = place_of(target)
    return latest(place) if isinstance(place, Dated) else place


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` found."""

    examination: Examination
    bad_files: tuple[BadFile, ...] | None
    """None where the files were not looked at."""
    files: int = 0
    """How many were looked at."""


def verify(target: Target, *, files: bool) -> Verified:
    """Read the ledger to its end, and with `files` every file that it names. Changes nothing."""
    run_dir = directory_of(target)
    examination = examine(run_dir / LEDGER_NAME)
    if not files:
        return Verified(examination=examination, bad_files=None)
    memory = examination.memory
    count = sum(len(record.files) for record in memory.records(JobState.DOWNLOADED))
    return Verified(
        examination=examination, bad_files=tuple(bad_files(run_dir, memory)), files=count
    )


async def mend(target: Target, turn: Turn, *, accept_loss: bool) -> Repaired:
    """Raises `LockHeld` while a run is at work, else as `repair`."""
    run_dir = directory_of(target)
    with await _lock(run_dir, turn):
        return repair(
            run_dir,
            now=timestamp(SystemClock().now_s()),
            accepts_loss=lambda known: accept_loss or _all_known(target, run_dir, known),
        )


def _all_known(target: Target, run_dir: Path, records: Records) -> bool:
    """Whether every row has a record: then no lost line can lead to another submission."""
    manifest = target.manifest or manifest_of(run_dir)
    if not manifest or manifest == "-":
        return False
    try:
        opened = open_at(replace(target, manifest=str(manifest)), run_dir)
        with load(opened.manifest, opened.target) as loaded:
            return not loaded.problem_count and all(
                (record := records.get(job.id)) is not None and record.state is not JobState.PENDING
                for job in loaded.spool.jobs()
            )
    except BatchgenError:
        return False


async def shorten(target: Target, turn: Turn) -> Compacted:
    """Raises `LockHeld` while a run is at work, else as `compact`."""
    run_dir = directory_of(target)
    with await _lock(run_dir, turn):
        return compact(run_dir, now=timestamp(SystemClock().now_s()))


async def _lock(run_dir: Path, turn: Turn) -> RunLock:
    """Where no ledger is, no lock file is left behind either."""
    if not (run_dir / LEDGER_NAME).exists():
        raise LedgerForeign(f"{run_dir}: no ledger here; is this the right --run-dir?")
    return await turn.take(run_dir) or RunLock.acquire(run_dir, now_s=SystemClock().now_s())


def story(target: Target, job: str) -> list[tuple[bytes, JobRecord]]:
    """The lines of one job. Raises `UsageError` where there are none."""
    run_dir = directory_of(target)
    lines = story_of(run_dir, job)
    if not lines:
        raise UsageError(f"{run_dir}: no job {job!r}; status and results.csv name them")
    return lines


def present(target: Target) -> Iterator[JobRecord]:
    """The last record of every job."""
    return replay(directory_of(target) / LEDGER_NAME).memory.records()
