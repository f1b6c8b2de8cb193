"""The run context: the ports, the limits and the state that the parts of a run share."""

from __future__ import annotations

from collections.abc import Callable

from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer
from batchgen.runner.stopping import Limits, Reachability, Stop
from batchgen.runner.throttling import PacedAPI, SubmissionPause


class RunContext:
    """The outside world as the parts of one run see it, and what they tell each other."""

    def __init__(
        self,
        *,
        api: GenerationAPI,
        ledger: Ledger,
        clock: Clock,
        observer: Observer,
        limits: Limits,
        jitter: Callable[[], float],
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._paced = PacedAPI(api, clock, limits.rate_per_s) if limits.rate_per_s else None
        self.api: GenerationAPI = self._paced or api
        self.ledger, self.clock, self.observer = ledger, clock, observer
        self.limits, self.jitter = limits, jitter
        self.stop = Stop(on_stop, clock)
        self.reachability = Reachability(clock, self.stop, limits)
        self.pause = SubmissionPause(clock, jitter)

    @property
    def is_paced(self) -> bool:
        """True if the last call had to wait because of `--rate`."""
        return self._paced is not None and self._paced.waited_s > 0

    async def record(self, job: str, event: Event) -> JobRecord:
        """Make an event durable, then tell the observer; raise `LocalIOError` on a disk error."""
        record = await self.ledger.record(job, event)
        self.observer.on_event(job, event, record)
        return record
