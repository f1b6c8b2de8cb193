"""`batchgen resolve`: record the user's decision about an in-doubt or failed job."""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.loading import load
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import OpenBatch, locate, open_in, read_settings, series_of
from batchgen.app.other_directories import hint_at_others
from batchgen.app.run_directories import RunDirectories
from batchgen.app.run_options import RETRIABLE
from batchgen.core.adoption import adoption_rounds, record_named
from batchgen.core.errors import ManifestError, UsageError
from batchgen.core.events import Attached, GivenUp, Granted
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger.replay import owners_of_request
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.run_directory import RunDirectory

Decision = Attached | GivenUp | Granted

_CONSEQUENCES = {
    Attached: "the next run collects it",
    GivenUp: "it no longer counts as failed",
    Granted: "the next run submits it once more",
}
_LEFT_REMOTE = "its files are not downloaded"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Record the decision; nothing is sent."""
    decisions: dict[str, Decision] = {
        "request_id": Attached(request_id=args.request_id or ""),
        "give_up": GivenUp(),
        "resubmit": Granted(),
    }
    chosen = [decision for name, decision in decisions.items() if getattr(args, name)]
    if len(chosen) != 1:
        raise UsageError("choose one of --request-id RID, --give-up, --resubmit")
    lock_wait = LockWait(if_locked=args.if_locked, context=context)
    record = asyncio.run(_resolve(BatchRef.of(args), args.job, chosen[0], lock_wait))
    consequence = _CONSEQUENCES[type(chosen[0])]
    if record.state is JobState.COMPLETED:
        consequence = _LEFT_REMOTE
    context.console.confirm(f"job {record.job!r} is {record.state.value}: {consequence}")
    return 0


async def _resolve(ref: BatchRef, job: str, decision: Decision, lock_wait: LockWait) -> JobRecord:
    """Record it in the newest run directory. Raises `LockHeld` while a run uses that."""
    directories = locate(ref)
    directory = directories.newest()
    batch = open_in(ref, directory, lock_wait.context)
    if batch.note_on_copy:
        lock_wait.context.console.say(batch.note_on_copy)
    lock = await lock_wait.take(directory)
    clock = lock_wait.context.clock
    ledger = RunLedger.open_existing(directory.path, clock=clock, lock=lock)
    try:
        await ledger.doubt_crashed_submissions()
        job, has_row = await _adopt(batch, ledger, job)
        if ledger.get(job) is None and (record := record_named(job, ledger)):
            job = record.job
        if fault := _fault(ledger.get(job), job, decision):
            hint = hint_at_others(
                directories, directory, lambda one: one.job == job and _allows(one, decision)
            )
            raise UsageError(f"{directory}: {fault}{hint}")
        if isinstance(decision, Granted) and not has_row:
            raise UsageError(
                f"no row of {ref.shown} has the job {job!r} any more, so it cannot be submitted"
                " again; put the row back, or use --request-id RID or --give-up"
            )
        if isinstance(decision, Attached):
            series = directories if ref.run_dir is None else series_of(ref, read_settings(ref))
            _require_free(decision.request_id, ledger.get(job), directory, series)
        return await ledger.record(job, decision)
    finally:
        await ledger.close()


async def _adopt(batch: OpenBatch, ledger: RunLedger, job: str) -> tuple[str, bool]:
    """Let rows with a new id keep their jobs, as every run does.

    Return what `job` is called then, and whether it has a row.
    """
    try:
        loaded = load(batch.manifest, spool_dir=batch.directory.path)
    except ManifestError:
        return job, False  # it has no rows that could be read
    with loaded:
        ledger.recognise(loaded.spool)
        jobs = loaded.batch(ledger)
        for found in adoption_rounds(jobs, ledger, has_steps=loaded.has_steps):
            for old, new in found.now:
                await ledger.adopt(old, new)
                job = new if old == job else job
        has_row = any(one.id == job for one in jobs.jobs())
        return job, has_row or job in jobs.left_out()


def _fault(record: JobRecord | None, job: str, decision: Decision) -> str:
    """Say why a decision is not possible; empty if it is."""
    if record is None:
        return f"no job {job!r} in this ledger; status and results.csv list the jobs"
    if _allows(record, decision):
        return ""
    states = ", ".join(state.value for state in RETRIABLE)
    return f"job {job!r} is {record.state.value}; this decision applies to jobs that are {states}"


def _allows(record: JobRecord, decision: Decision) -> bool:
    """Tell whether a decision is possible now.

    A job is pending after a decision if the POST that followed was certainly not accepted. Then an
    earlier decision can still be replaced by another one.
    """
    match record.state:
        case JobState.FAILED | JobState.CANCELLED | JobState.IN_DOUBT | JobState.SUBMITTING:
            return True
        case JobState.PENDING:
            return record.attempts > 0
        case JobState.COMPLETED:
            is_own = isinstance(decision, Attached) and decision.request_id == record.request_id
            return is_own or isinstance(decision, GivenUp)
        case _:
            return False


def _require_free(
    request_id: str,
    record: JobRecord | None,
    directory: RunDirectory,
    series: RunDirectories,
) -> None:
    """Raise `UsageError` if a request is that of another job, or of another text of this job."""
    job, fingerprint = ("", "") if record is None else (record.job, record.fingerprint)
    for one in (directory, *series.others(directory)):
        for owner, text in sorted(owners_of_request(one.ledger, request_id)):
            if one != directory or owner != job:
                raise UsageError(f"request {request_id} belongs to job {owner!r} in {one} already")
            if text not in ("", fingerprint):
                raise UsageError(
                    f"request {request_id} was made for an earlier text of job {job!r}; it is used"
                    " if its row goes back to that text"
                )
