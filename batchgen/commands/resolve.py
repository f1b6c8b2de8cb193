"""`batchgen resolve`: record the user's decision about an in-doubt or failed job."""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import locate
from batchgen.app.other_directories import hint_at_others
from batchgen.app.run_options import RETRIABLE
from batchgen.core.errors import UsageError
from batchgen.core.events import Attached, GivenUp, Granted
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Records
from batchgen.ledger import RunLedger

Decision = Attached | GivenUp | Granted

_CONSEQUENCES = {
    Attached: "the next run collects it",
    GivenUp: "it no longer counts as failed",
    Granted: "the next run submits it once more",
}


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
    context.console.confirm(
        f"job {args.job!r} is {record.state.value}: {_CONSEQUENCES[type(chosen[0])]}"
    )
    return 0


async def _resolve(ref: BatchRef, job: str, decision: Decision, lock_wait: LockWait) -> JobRecord:
    """Record it in the newest run directory. Raises `LockHeld` while a run uses that."""
    directories = locate(ref)
    directory = directories.newest()
    lock = await lock_wait.take(directory)
    clock = lock_wait.context.clock
    ledger = RunLedger.open_existing(directory.path, clock=clock, lock=lock)
    try:
        return await resolve(ledger, job, decision)
    except UsageError as error:
        applies = _states_for(decision)
        hint = hint_at_others(
            directories, directory, lambda record: record.job == job and record.state in applies
        )
        raise UsageError(f"{directory}: {error}{hint}") from None
    finally:
        await ledger.close()


async def resolve(ledger: RunLedger, job: str, decision: Decision) -> JobRecord:
    """Put a decision on record. Raises `UsageError` if the job's state does not allow it."""
    record = ledger.get(job)
    if record is None:
        raise UsageError(f"no job {job!r} in this ledger; status and results.csv list the jobs")
    allowed = _states_for(decision)
    if record.state not in allowed:
        states = ", ".join(state.value for state in allowed)
        raise UsageError(
            f"job {job!r} is {record.state.value}; this decision applies to jobs that are {states}"
        )
    if isinstance(decision, Attached) and (owner := _owner(ledger, decision.request_id)):
        raise UsageError(f"request {decision.request_id} belongs to job {owner!r} already")
    return await ledger.record(job, decision)


def _states_for(decision: Decision) -> tuple[JobState, ...]:
    return (JobState.FAILED, JobState.IN_DOUBT) if isinstance(decision, Attached) else RETRIABLE


def _owner(records: Records, request_id: str) -> str | None:
    return next((r.job for r in records.records() if r.request_id == request_id), None)
