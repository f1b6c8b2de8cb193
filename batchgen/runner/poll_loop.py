"""The watch over what flies: each look at its time, many at once, none while nothing is due."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable
from math import inf

from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord
from batchgen.core.units import seconds
from batchgen.ports import Clock
from batchgen.runner.poller import InFlightJob, Poller
from batchgen.runner.stopping import Stop
from batchgen.runner.tasks import TaskGroup

RESUMED_PATIENCE_S = 30.0
"""What a job gets that is older than its time-out when a run takes it up again."""

EXPLORERS = 12
"""Jobs of a model that are looked at closely while nothing is known of it."""

LONG_FAILING = 4
"""Failed looks in a row that are an outage, and whose end is news for all."""

IMAGE_TIMEOUT_S = 900.0
VIDEO_TIMEOUT_S = 2700.0
"""From the submission; also for a job whose model is not known any more."""


class PollLoop:
    """Looks at flights until they end, or until this run has waited for them long enough."""

    def __init__(
        self,
        *,
        lookout: Poller,
        clock: Clock,
        crew: TaskGroup,
        stop: Stop,
        at_once: int,
        job_timeout_s: float | None,
        on_landed: Callable[[InFlightJob], None],
    ) -> None:
        self._lookout = lookout
        self._clock = clock
        self._crew = crew
        self._stop = stop
        self._at_once = at_once
        self._job_timeout_s = job_timeout_s
        self._on_landed = on_landed
        self._schedule = PollSchedule()
        self._looking = 0
        self._explorers: Counter[str] = Counter()
        self._known: set[str] = set()
        self.wake = asyncio.Event()
        """Set where something has changed that may make a look due."""

    def add(self, record: JobRecord, job: Job | None, *, resumed: bool = False) -> None:
        """Watch an accepted job; `job` is its row, if it still has one."""
        now_s = self._clock.monotonic_s()
        submitted_s = seconds(record.submitted_at)
        age_s = 0.0 if submitted_s is None else max(0.0, self._clock.now_s() - submitted_s)
        patience_s = max(self._timeout_s(job) - age_s, RESUMED_PATIENCE_S)
        flight = InFlightJob(
            record=record, job=job, resumed=resumed, give_up_at_s=now_s + patience_s,
            since_s=now_s - age_s if resumed else now_s, explores=self._explores(job),
        )  # fmt: skip
        self._schedule.add(flight, now_s + self._lookout.first_delay_s(flight))
        self.wake.set()

    async def keep(self) -> None:
        """Look at what is due, for ever; to be cancelled."""
        while True:
            self.wake.clear()
            while self._looking < self._at_once and not self._stop.looks:
                flight = self._schedule.pop_due(self._clock.monotonic_s())
                if flight is None:
                    break
                self._looking += 1
                self._crew.spawn(self._look(flight))
            busy = self._looking >= self._at_once or self._stop.looks
            due_s = None if busy else self._schedule.next_due_s()
            timeout_s = None if due_s is None else due_s - self._clock.monotonic_s()
            await self._clock.wait(self.wake, timeout_s)

    async def _look(self, flight: InFlightJob) -> None:
        failures = flight.failures
        try:
            delay_s = await self._lookout.look(flight)
        finally:
            self._looking -= 1
            self.wake.set()
        now_s = self._clock.monotonic_s()
        if failures >= LONG_FAILING and not flight.failures:
            # An outage is over: nobody waits for the end of their backoff.
            self._schedule.bring_forward(lambda one: now_s + 1.0 if one.failures else inf)
        self._share_news(flight, now_s)
        if delay_s is None or now_s >= flight.give_up_at_s:
            self._on_landed(flight)
        else:
            self._schedule.add(flight, min(now_s + delay_s, flight.give_up_at_s))

    def _share_news(self, flight: InFlightJob, now_s: float) -> None:
        """Once enough is known of a model, look anew at when to look at its other jobs."""
        model = flight.job.model if flight.job else None
        if model is None or model in self._known or not self._lookout.knows(model):
            return
        self._known.add(model)
        self._schedule.bring_forward(
            lambda one: (
                now_s + self._lookout.delay_s(one)
                if one.job is not None and one.job.model == model and not one.failures
                else inf
            )
        )

    def _explores(self, job: Job | None) -> bool:
        """Whether this is one of the first jobs of a model that nothing is known of."""
        if job is None or self._lookout.knows(job.model):
            return False
        self._explorers[job.model] += 1
        return self._explorers[job.model] <= EXPLORERS

    def _timeout_s(self, job: Job | None) -> float:
        if self._job_timeout_s is not None:
            return self._job_timeout_s
        return VIDEO_TIMEOUT_S if job is None or "video" in job.model else IMAGE_TIMEOUT_S


class PollSchedule:
    """Flights by the time of their next look. No loop and no clock of its own."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, InFlightJob]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, flight: InFlightJob, due_s: float) -> None:
        """Look at this flight at that monotonic time."""
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, flight))

    def bring_forward(self, due_s_of: Callable[[InFlightJob], float]) -> None:
        """Look at each flight at the time that is given for it, if that is sooner."""
        self._heap = [
            (min(due_s, due_s_of(flight)), number, flight) for due_s, number, flight in self._heap
        ]
        heapq.heapify(self._heap)

    def next_due_s(self) -> float | None:
        """When the first look is due; None where nothing flies."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> InFlightJob | None:
        """The flight that has been due for longest; None where none is due yet."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now_s else None
