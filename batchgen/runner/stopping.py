"""The reasons that a run has been given to stop, while it runs.

Cancelling what is queued remotely. A cancellation counts only once a second look confirms it.

How much at once, how long, and how much money: what a run was told, frozen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchgen.core.api_answers import CancelOutcome, TryAgain, WasCancelled
from batchgen.core.events import Cancelled
from batchgen.core.lifecycle import JobRecord
from batchgen.core.stop_reasons import EFFECTS, StopReason
from batchgen.ports import Clock, GenerationAPI, Ledger

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


class Stop:
    """Collects reasons; tells `wake` each time, so that whoever waits looks again."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.reasons: list[StopReason] = []
        self._wake = wake

    def request(self, reason: StopReason) -> None:
        """Give a reason to stop; the same one again changes nothing."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self._wake()

    @property
    def interrupted(self) -> bool:
        """Whether a signal was among the reasons."""
        return StopReason.SIGINT in self.reasons or StopReason.SIGTERM in self.reasons

    @property
    def submissions(self) -> bool:
        """Whether nothing may be submitted any more."""
        return bool(self.reasons)

    @property
    def looks(self) -> bool:
        """Whether polling has ended."""
        return any(EFFECTS[reason].polls for reason in self.reasons)

    @property
    def downloads(self) -> bool:
        """Whether downloading has ended."""
        return any(EFFECTS[reason].downloads for reason in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one run."""

    concurrency: int = 8
    """Jobs in flight at most."""
    downloads: int = 8
    """Jobs whose outputs are fetched at once."""
    posts: int = 128
    """Submissions on their way at once; each has a connection of its own."""
    looks: int = 64
    """Calls about jobs in flight at once."""
    rate_per_s: float | None = None
    """Calls of the API started per second, looks included."""
    wait_for_api_s: float = 20.0
    silence_s: float = 3600.0
    job_timeout_s: float | None = None
    """From its submission; None: by the kind of the model's output."""
    ends_at_s: float | None = None
    """Monotonic time at which the run has to be over."""
    max_failures: int | None = None
    cancel_on_interrupt: bool = False
    drain_s: float = 4.0
    """What answers on their way get after a signal."""
    cancel_s: float = 3.0
    """What cancellations get after a signal."""

    def leave_time_for(self, expected_s: float, clock: Clock) -> bool:
        """Whether a job that takes this long would end in time if it were submitted now."""
        return self.ends_at_s is None or clock.monotonic_s() + expected_s < self.ends_at_s

    async def runtime(self, stop: Stop, clock: Clock) -> None:
        """End the run when its time is over."""
        if self.ends_at_s is not None:
            await clock.sleep(max(0.0, self.ends_at_s - clock.monotonic_s()))
            stop.request(StopReason.TIME_OVER)
