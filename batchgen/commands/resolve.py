"""`batchgen resolve`.

A person's word on jobs that ended badly or in doubt: `resolve`, and what `retry` grants.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from batchgen.app.batch_ref import batch_ref_of, lock_wait_of
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import latest, open_batch
from batchgen.app.run_preparation import RETRIABLE
from batchgen.core.errors import UsageError
from batchgen.core.events import Attached, GivenUp, Granted
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Records
from batchgen.ledger import RunLedger
from batchgen.system.clock import SystemClock


async def resolve_in(
    run_dir: Path, job: str, word: Attached | GivenUp | Granted, turn: LockWait
) -> JobRecord:
    """`resolve` in the ledger of a run directory. Raises `LockHeld` while a run is at work."""
    lock = await turn.take(run_dir)
    book = RunLedger.open_existing(run_dir, clock=SystemClock(), lock=lock)
    try:
        return await resolve(book, job, word)
    finally:
        await book.close()


async def resolve(book: RunLedger, job: str, word: Attached | GivenUp | Granted) -> JobRecord:
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


def handle(args: argparse.Namespace) -> int:
    """Put a person's word on record; nothing is sent."""
    target = batch_ref_of(args)
    run_dir = open_batch(target, pick=latest).run_dir
    words: dict[str, Attached | GivenUp | Granted] = {
        "request_id": Attached(request_id=args.request_id or ""),
        "give_up": GivenUp(),
        "resubmit": Granted(),
    }
    chosen = [word for name, word in words.items() if getattr(args, name)]
    if len(chosen) != 1:
        raise UsageError("say one of --request-id RID, --give-up, --resubmit")
    asyncio.run(_resolve(run_dir, args.job, chosen[0], lock_wait_of(args)))
    return 0


async def _resolve(
    run_dir: Path, job: str, word: Attached | GivenUp | Granted, turn: LockWait
) -> None:
    record = await resolve_in(run_dir, job, word, turn)
    then = {
        Attached: "the next run collects it",
        GivenUp: "it no longer counts as failed",
        Granted: "the next run submits it once more",
    }
    print(f"job {job!r} is {record.state.value}: {then[type(word)]}")
