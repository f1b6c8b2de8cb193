"""Stopping a run: limits, reasons to stop, silence of the API, and cancelling queued jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchgen.core.api_answers import (
    Broke,
    CancelOutcome,
    PollAnswer,
    Produced,
    Queued,
    Running,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.events import Cancelled
from batchgen.core.lifecycle import JobRecord
from batchgen.core.stop_reasons import EFFECTS, SIGNALS, StopReason
from batchgen.core.throttle import Backoff
from batchgen.ports import Clock, GenerationAPI, Ledger

DOWNLOADS = 8
"""Jobs whose outputs one process fetches at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one run."""

    concurrency: int = 8
    """Maximum number of jobs in flight."""
    downloads: int = DOWNLOADS
    """Maximum number of jobs whose outputs are fetched at once."""
    posts: int = 128
    """Maximum number of submissions on their way; each has a connection of its own."""
    polls: int = 64
    """Maximum number of polls on their way."""
    rate_per_s: float | None = None
    """API calls started per second, polls included."""
    wait_for_api_s: float = 20.0
    """Time to wait for the first answer of the API."""
    silence_s: float = 3600.0
    """Time to wait for an answer once the API has answered."""
    rejected_s: float = 3600.0
    """How long every submission may be rejected because of its rate."""
    job_timeout_s: float | None = None
    """Counted from the submission; None: by the kind of the model's output."""
    ends_at_s: float | None = None
    """Monotonic time at which the run has to be over."""
    max_failures: int | None = None
    cancel_on_interrupt: bool = False
    drain_s: float = 4.0
    """Time to wait, after a signal, for answers on their way."""
    cancel_s: float = 3.0
    """Time to wait, after a signal, for cancellations."""

    def leave_time_for(self, expected_s: float, clock: Clock) -> bool:
        """Return whether a job that takes this long would end in time if submitted now."""
        return self.ends_at_s is None or clock.monotonic_s() + expected_s < self.ends_at_s

    async def stop_in_time(self, stop: Stop, clock: Clock) -> None:
        """Wait until the run has to be over, then stop it."""
        if self.ends_at_s is not None:
            await clock.sleep(max(0.0, self.ends_at_s - clock.monotonic_s()))
            stop.request(StopReason.TIME_OVER)


class Stop:
    """The reasons to stop so far; calls `on_stop` each time one is given."""

    def __init__(self, on_stop: Callable[[], None], clock: Clock) -> None:
        self.reasons: list[StopReason] = []
        self.signalled_at_s: float | None = None
        """The monotonic time of the first signal."""
        self._on_stop, self._clock = on_stop, clock

    def request(self, reason: StopReason) -> None:
        """Give a reason to stop; the same one again changes nothing."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        if reason in SIGNALS and self.signalled_at_s is None:
            self.signalled_at_s = self._clock.monotonic_s()
        self._on_stop()

    @property
    def interrupted(self) -> bool:
        """True if a signal is among the reasons."""
        return not SIGNALS.isdisjoint(self.reasons)

    @property
    def no_submissions(self) -> bool:
        """True if nothing may be submitted any more."""
        return bool(self.reasons)

    @property
    def no_polls(self) -> bool:
        """True if nothing is polled any more."""
        return any(EFFECTS[reason].stops_polls for reason in self.reasons)

    @property
    def no_downloads(self) -> bool:
        """True if nothing is downloaded any more."""
        return any(EFFECTS[reason].stops_downloads for reason in self.reasons)


OUTAGE_S = 5.0
"""A shorter silence is not remembered as an outage."""


class Reachability:
    """Stops the run when the API is silent: soon if it never answered, otherwise after an hour."""

    def __init__(self, clock: Clock, stop: Stop, limits: Limits) -> None:
        self._clock, self._stop, self._limits = clock, stop, limits
        self._answered_at_s = clock.monotonic_s()
        self._ever_answered = False
        self.why = ""
        """Why the last call without an answer had none."""
        self.outages: list[tuple[float, float]] = []
        """When no call was answered, from and to, in seconds since 1970."""
        self._silent_since_s: float | None = None

    def note(self, *, answered: bool, why: str = "") -> None:
        """Note that a call was answered (with whatever it was), or that it was not, and why."""
        self.why = why or self.why
        now_s = self._clock.monotonic_s()
        if answered:
            self._answered_at_s, self._ever_answered = now_s, True
            self.end_outage()
            return
        if self._silent_since_s is None:
            self._silent_since_s = self._clock.now_s()
        silent_s = now_s - self._answered_at_s
        if not self._ever_answered and silent_s >= self._limits.wait_for_api_s:
            self._stop.request(StopReason.UNREACHABLE)
        elif self._ever_answered and silent_s >= self._limits.silence_s:
            self._stop.request(StopReason.SILENT)

    def end_outage(self) -> None:
        """Note the present outage, if there is one that is worth a line."""
        if self._silent_since_s is None:
            return
        outage = (self._silent_since_s, self._clock.now_s())
        self._silent_since_s = None
        if outage[1] - outage[0] >= OUTAGE_S:
            self.outages.append(outage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellations:
    """Results of the requests to cancel, counted."""

    cancelled: int = 0
    running: int = 0
    """Not cancellable: running or ended; still billed, still to be collected."""
    unknown: int = 0
    """Not confirmed: no useful answer, or two that contradict each other. It stays in flight."""
    rejected: int = 0
    """The API rejected the token."""
    unreached: int = 0
    """Nobody answered at all."""

    @property
    def unconfirmed(self) -> int:
        """Jobs that stay as they were."""
        return self.unknown + self.rejected + self.unreached


CANCELS_AT_ONCE = 32
LOOKS = 4
"""Times that a job is asked for its result until it agrees with the answer to the cancellation."""


async def cancel_all(
    api: GenerationAPI, ledger: Ledger, records: Sequence[JobRecord], clock: Clock
) -> Cancellations:
    """Cancel these jobs; raise `LocalIOError` if the ledger could not be written.

    A job counts as cancelled only if its result says so: the answer to the request to cancel is
    not proof. If both disagree, the result is asked again for some seconds.
    """
    slots = asyncio.Semaphore(CANCELS_AT_ONCE)
    backoff = Backoff()

    async def cancel(record: JobRecord) -> str:
        request_id = record.request_id or ""
        async with slots:
            outcome = await api.cancel(request_id)
            found = _found(outcome, await api.result(request_id))
            for look in range(1, LOOKS):
                if found not in ("unknown", "unreached"):
                    break
                await clock.sleep(backoff.delay_s(look, jitter=0.0))
                found = _found(outcome, await api.result(request_id))
        if found == "cancelled":
            await ledger.record(record.job, Cancelled())
        return found

    return Cancellations(**Counter(await asyncio.gather(*map(cancel, records))))


def _found(outcome: CancelOutcome, result: PollAnswer) -> str:
    """Return what became of a job, by both answers: a name in `Cancellations`."""
    match result:
        case WasCancelled():
            return "cancelled"
        case Produced() | Broke():
            return "running"
        case Running() if outcome is not CancelOutcome.CANCELLED:
            return "running"
        case Queued() if outcome is CancelOutcome.NOT_CANCELLABLE:
            return "running"  # it is just starting
        case TokenRejected():
            return "rejected"
        case TryAgain(answered=False) if outcome is CancelOutcome.UNKNOWN:
            return "unreached"
        case _:
            return "unknown"
