"""Cancelling what is queued remotely. A cancellation counts only once a second look confirms it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from batchgen.core.answers import CancelOutcome, TryAgain, WasCancelled
from batchgen.core.events import Cancelled
from batchgen.core.lifecycle import JobRecord
from batchgen.ports import GenerationAPI, Ledger

AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellations:
    """What became of the requests to cancel."""

    cancelled: int = 0
    running: int = 0
    """Not cancellable: running or ended; still billed, still to be collected."""
    unknown: int = 0
    """No answer; such a job stays in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Asks, looks again, and records."""

    api: GenerationAPI
    ledger: Ledger

    async def cancel_all(self, records: Sequence[JobRecord]) -> Cancellations:
        """Cancel these jobs; raises `LocalIOError` where the ledger could not be written."""
        turn = asyncio.Semaphore(AT_ONCE)
        found = Counter(await asyncio.gather(*(self._cancel(record, turn) for record in records)))
        return Cancellations(
            cancelled=found["cancelled"], running=found["running"], unknown=found["unknown"]
        )

    async def _cancel(self, record: JobRecord, turn: asyncio.Semaphore) -> str:
        request_id = record.request_id or ""
        async with turn:
            outcome = await self.api.cancel(request_id)
            look = await self.api.result(request_id)
        if isinstance(look, WasCancelled):
            await self.ledger.record(record.job, Cancelled())
            return "cancelled"
        unknown = outcome is CancelOutcome.UNKNOWN or isinstance(look, TryAgain)
        return "unknown" if unknown else "running"
