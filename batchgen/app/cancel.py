"""`batchgen cancel`: what is still queued remotely is cancelled, and looked at once more."""

from __future__ import annotations

from batchgen.app.opening import latest, open_batch
from batchgen.app.options import Target
from batchgen.app.session import Rehearsal, remote
from batchgen.app.turn import Turn
from batchgen.clock import SystemClock
from batchgen.core.lifecycle import IN_FLIGHT
from batchgen.core.quantities import count_text
from batchgen.ledger import LedgerBook
from batchgen.runner.cancellation import Cancellation


async def cancel(target: Target, turn: Turn) -> tuple[int, list[str]]:
    """The exit code and what to say. Raises `LockHeld` while a run is at work."""
    from batchgen.api import ModelAPI

    clock = SystemClock()
    opened = open_batch(target, pick=latest)
    lock = await turn.take(opened.run_dir)
    rehearsal = Rehearsal(run_dir=opened.run_dir) if target.sandbox else None
    async with remote(target.base_url, rehearsal) as api:
        book = LedgerBook.open(opened.run_dir, api=api.base.origin, clock=clock, lock=lock)
        try:
            open_records = list(book.records(*IN_FLIGHT))
            if not open_records:
                return 0, ["nothing is in flight"]
            async with ModelAPI(api.base, api.token(), clock=clock) as client:
                outcome = await Cancellation(api=client, ledger=book).cancel_all(open_records)
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
