"""The poll loop: each job in flight is polled when it is due, many at once.

One heap of due times, not a sleeping worker for each job: ten thousand jobs in flight are ten
thousand small entries.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import inf

from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.units import seconds
from batchgen.runner.poller import GONE_COUNTS_AFTER_S, InFlightJob, Poller
from batchgen.runner.tasks import TaskGroup

RESUMED_PATIENCE_S = 30.0
"""Minimum time that a run waits for a job that was older than its time-out when it resumed.

A time-out that is shorter than this is the minimum itself.
"""

EXPLORERS = 12
"""Jobs of a model that are polled often while nothing is known of it."""

OUTAGE_FAILURES = 4
"""Failed calls about a job in a row that count as an outage."""

IMAGE_TIMEOUT_S = 900.0
VIDEO_TIMEOUT_S = 2700.0
"""From the submission; also for a job whose model is not known any more."""


class PollLoop:
    """Polls jobs until they end, or until this run has waited for them long enough."""

    def __init__(
        self,
        poller: Poller,
        tasks: TaskGroup,
        *,
        on_ended: Callable[[InFlightJob], None],
        on_defect: Callable[[str, Exception], None],
    ) -> None:
        self._poller, self._tasks = poller, tasks
        self._on_ended, self._on_defect = on_ended, on_defect
        self._clock, self._stop = poller.context.clock, poller.context.stop
        self._limits = poller.context.limits
        self._schedule = PollSchedule()
        self._polling = 0
        self._explorers: Counter[str] = Counter()
        self._known: set[str] = set()
        self.wake = asyncio.Event()
        """Set when something has changed that may make a poll due."""

    def add(self, record: JobRecord, row: Job | None, *, sent_at_s: float | None = None) -> bool:
        """Poll this job from now on, and return true; `row` is its row, if it still has one.

        `sent_at_s` is the monotonic time of its submission; None: an earlier run submitted it.
        """
        now_s = self._clock.monotonic_s()
        resumed = sent_at_s is None
        age_s = self._since_s(record.submitted_at) if sent_at_s is None else now_s - sent_at_s
        known_s = self._since_s(record.ts) if resumed else 0.0
        job = InFlightJob(
            record=record, row=row, resumed=resumed,
            give_up_at_s=now_s + self._patience_s(row, age_s, resumed=resumed),
            gone_counts_at_s=now_s - known_s + GONE_COUNTS_AFTER_S,
            seen=record.state is JobState.IN_PROGRESS,
            accepted_at_s=now_s - age_s if resumed else now_s, explores=self._explores(row),
        )  # fmt: skip
        self._schedule.add(job, now_s + self._poller.first_delay_s(job))
        self.wake.set()
        return True

    def _since_s(self, moment: str | None) -> float:
        """Return the seconds since a moment on record, by the clock on the wall."""
        then_s = seconds(moment)
        return 0.0 if then_s is None else max(0.0, self._clock.now_s() - then_s)

    def _patience_s(self, row: Job | None, age_s: float, *, resumed: bool) -> float:
        """Return how long to wait for a job of this age; it is polled once in any case."""
        timeout_s = self._timeout_s(row)
        least_s = min(RESUMED_PATIENCE_S, timeout_s) if resumed else 0.0
        return max(timeout_s - age_s, least_s)

    async def run(self) -> None:
        """Poll what is due, without end; to be cancelled."""
        while True:
            self.wake.clear()
            self._poll_due()
            busy = self._polling >= self._limits.polls or self._stop.no_polls
            due_s = None if busy else self._schedule.next_due_s()
            timeout_s = None if due_s is None else due_s - self._clock.monotonic_s()
            await self._clock.wait(self.wake, timeout_s)

    def _poll_due(self) -> None:
        while self._polling < self._limits.polls and not self._stop.no_polls:
            job = self._schedule.pop_due(self._clock.monotonic_s())
            if job is None:
                return
            self._polling += 1
            self._tasks.spawn(self._poll(job), on_defect=partial(self._leave_alone, job))

    def _leave_alone(self, job: InFlightJob, error: Exception) -> None:
        self._on_defect(job.record.job, error)
        self._on_ended(job)

    async def _poll(self, job: InFlightJob) -> None:
        failures = job.failures
        try:
            delay_s = await self._poller.poll(job)
        finally:
            self._polling -= 1
            self.wake.set()
        now_s = self._clock.monotonic_s()
        if failures >= OUTAGE_FAILURES and job.failures < failures:
            # An outage is over: no job waits for the end of its backoff.
            self._schedule.bring_forward(lambda one: now_s + 1.0 if one.failures else inf)
        self._use_new_plan(job, now_s)
        if delay_s is None or now_s >= job.give_up_at_s:
            self._on_ended(job)
        else:
            self._schedule.add(job, min(now_s + delay_s, job.give_up_at_s))

    def _use_new_plan(self, job: InFlightJob, now_s: float) -> None:
        """Once enough is known of the model of this job, reschedule its other jobs by it."""
        model = job.row.model if job.row else None
        if model is None or model in self._known or not self._poller.knows(model):
            return
        self._known.add(model)
        self._schedule.bring_forward(
            lambda one: (
                now_s + self._poller.delay_s(one)
                if one.row is not None and one.row.model == model and not one.failures
                else inf
            )
        )

    def _explores(self, row: Job | None) -> bool:
        """Return whether this is one of the first jobs of a model of which nothing is known."""
        if row is None or self._poller.knows(row.model):
            return False
        self._explorers[row.model] += 1
        return self._explorers[row.model] <= EXPLORERS

    def _timeout_s(self, row: Job | None) -> float:
        if self._limits.job_timeout_s is not None:
            return self._limits.job_timeout_s
        return VIDEO_TIMEOUT_S if row is None or "video" in row.model else IMAGE_TIMEOUT_S


class PollSchedule:
    """Jobs by the time of their next poll; no loop and no clock of its own."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, InFlightJob]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, job: InFlightJob, due_s: float) -> None:
        """Schedule a poll of this job at a monotonic time."""
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, job))

    def bring_forward(self, due_s_of: Callable[[InFlightJob], float]) -> None:
        """Reschedule each job to the time that is given for it, if that is sooner."""
        self._heap = [(min(due_s, due_s_of(job)), number, job) for due_s, number, job in self._heap]
        heapq.heapify(self._heap)

    def next_due_s(self) -> float | None:
        """Return when the first poll is due; None if there is no job."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> InFlightJob | None:
        """Remove and return the job that has been due for longest; None if none is due yet."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now_s else None
