"""`batchgen cancel`: cancel what is still queued remotely, and ask once more to confirm it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import locate
from batchgen.app.other_directories import hint_at_others
from batchgen.app.remote import real_api, sandbox_in_process
from batchgen.core.errors import ServiceUnreachable, TokenMissing
from batchgen.core.lifecycle import IN_FLIGHT
from batchgen.core.units import count_text
from batchgen.ledger.run_ledger import RunLedger
from batchgen.runner.stopping import Cancellations, cancel_all

NOT_CONFIRMED = 75


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Cancel the jobs in flight, and return the exit code."""
    lock_wait = LockWait(if_locked=args.if_locked, context=context)
    ref = BatchRef.of(args)
    outcome = asyncio.run(cancel(ref, lock_wait))
    if outcome is None:
        directories = locate(ref)
        hint = hint_at_others(
            directories, directories.newest(), lambda record: record.state in IN_FLIGHT
        )
        context.console.confirm(f"{directories.newest()}: nothing is in flight{hint}")
        return 0
    _require_answers(outcome, context)
    context.console.confirm(*_lines(outcome))
    return NOT_CONFIRMED if outcome.unconfirmed else 0


async def cancel(ref: BatchRef, lock_wait: LockWait) -> Cancellations | None:
    """Return what became of the jobs in flight; None if there are none.

    Raises `LockHeld` while a run uses the directory.
    """
    context = lock_wait.context
    directory = locate(ref).newest()
    lock = await lock_wait.take(directory)
    remote = sandbox_in_process(context, directory) if ref.sandbox else real_api(context)
    async with remote as api:
        ledger = RunLedger.open(directory.path, api=api.base.origin, clock=context.clock, lock=lock)
        try:
            in_flight = list(ledger.records(*IN_FLIGHT))
            if not in_flight:
                return None
            async with api.client() as client:
                return await cancel_all(client, ledger, in_flight, context.clock)
        finally:
            await ledger.close()


def _require_answers(outcome: Cancellations, context: CommandContext) -> None:
    """Raise `TokenMissing` or `ServiceUnreachable` if that is why no job could be cancelled."""
    if outcome.cancelled or outcome.running or outcome.unknown:
        return
    stay = "; the jobs stay as they were"
    if outcome.rejected:
        raise TokenMissing(
            "the API rejected the token; get one at runcomfy.com (profile) and set RUNCOMFY_TOKEN"
            f"{stay}"
        )
    if outcome.unreached:
        raise ServiceUnreachable(f"{context.api.url} did not answer{stay}")


def _lines(outcome: Cancellations) -> Iterator[str]:
    yield f"{count_text(outcome.cancelled, 'job')} cancelled"
    if outcome.running:
        yield (
            f"{count_text(outcome.running, 'job')} already running or ended: these cannot be"
            " cancelled and are billed; the next run collects them"
        )
    if outcome.unconfirmed:
        yield (
            f"{count_text(outcome.unconfirmed, 'job')} not confirmed as cancelled: no answer,"
            " or two that disagree; they stay as they were, so run the same command again"
        )
