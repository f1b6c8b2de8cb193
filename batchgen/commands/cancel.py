"""`batchgen cancel`: what is still queued remotely is cancelled, and looked at once more.

`batchgen cancel`.
"""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.batch_ref import BatchRef, batch_ref_of, lock_wait_of
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import latest, open_batch
from batchgen.app.remote import SandboxRun, remote
from batchgen.core.lifecycle import IN_FLIGHT
from batchgen.core.units import count_text
from batchgen.ledger import RunLedger
from batchgen.runner.stopping import cancel_all
from batchgen.system.clock import SystemClock


async def cancel(target: BatchRef, turn: LockWait) -> tuple[int, list[str]]:
    """The exit code and what to say. Raises `LockHeld` while a run is at work."""
    from batchgen.api import ModelAPI

    clock = SystemClock()
    opened = open_batch(target, pick=latest)
    lock = await turn.take(opened.run_dir)
    rehearsal = SandboxRun(run_dir=opened.run_dir) if target.sandbox else None
    async with remote(target.base_url, rehearsal) as api:
        book = RunLedger.open(opened.run_dir, api=api.base.origin, clock=clock, lock=lock)
        try:
            open_records = list(book.records(*IN_FLIGHT))
            if not open_records:
                return 0, ["nothing is in flight"]
            async with ModelAPI(api.base, api.token(), clock=clock) as client:
                outcome = await cancel_all(client, book, open_records)
        finally:
            await book.close()
    lines = [f"{count_text(outcome.cancelled, 'job')} cancelled"]
    if outcome.running:
        lines.append(
            f"{count_text(outcome.running, 'job')} already running or ended: these cannot be"
            " cancelled and are billed; the next run collects them"
        )
    if outcome.unknown:
        lines.append(
            f"{count_text(outcome.unknown, 'job')} could not be asked; they stay as they were"
        )
    return (75 if outcome.unknown else 0), lines


def handle(args: argparse.Namespace) -> int:
    """Cancel what is still queued remotely; its exit code."""
    code, lines = asyncio.run(cancel(batch_ref_of(args), lock_wait_of(args)))
    print("\n".join(lines))
    return code
