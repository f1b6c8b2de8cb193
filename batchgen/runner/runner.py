"""The run: free slots are filled with work at once, until none is left or it has to stop.

One loop conducts. It never waits for a call itself: submissions, looks and downloads are tasks,
and each tells the loop when it ends. In flight counts from the POST to the end of the job.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from batchgen.core.endings import StopReason
from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.moments import seconds
from batchgen.core.plan import Policy
from batchgen.core.retry import Backoff
from batchgen.ports import Batch, Clock, GenerationAPI, Ledger, Observer, OutputStore
from batchgen.runner.collection import Collector
from batchgen.runner.flights import Flight, Lookout, Schedule
from batchgen.runner.gate import Gate
from batchgen.runner.reach import Reach
from batchgen.runner.source import Source
from batchgen.runner.stopping import Stop
from batchgen.runner.submission import Submission

RESUMED_PATIENCE_S = 30.0
"""What a job gets that is older than its time-out when a run takes it up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, and how long."""

    concurrency: int = 8
    """Jobs in flight at most."""
    downloads: int = 8
    """Jobs whose outputs are fetched at once."""
    looks: int = 64
    """Calls about jobs in flight at once."""
    wait_for_api_s: float = 20.0
    silence_s: float = 3600.0
    job_timeout_s: float | None = None
    """From its submission; None: by the kind of the model's output."""
    drain_s: float = 4.0
    """What answers on their way get after a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the run itself ended; what became of the jobs is in the ledger."""

    reasons: tuple[StopReason, ...]
    failure: LocalIOError | None = None


class Runner:
    """Runs one batch once."""

    def __init__(
        self,
        *,
        api: GenerationAPI,
        ledger: Ledger,
        outputs: OutputStore,
        clock: Clock,
        observer: Observer,
        policy: Policy,
        limits: Limits,
        rng: random.Random,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._policy = policy
        self._limits = limits
        self._wake = asyncio.Event()
        self._look_wake = asyncio.Event()
        self.stop = Stop(self._on_change)
        reach = Reach(
            clock, self.stop, wait_for_api_s=limits.wait_for_api_s, silence_s=limits.silence_s
        )
        jitter = rng.random
        self._submission = Submission(
            api=api, ledger=ledger, clock=clock, observer=observer, reach=reach, stop=self.stop,
            gate=Gate(clock, jitter, Backoff()),
        )  # fmt: skip
        self._lookout = Lookout(
            api=api, ledger=ledger, clock=clock, observer=observer, reach=reach, stop=self.stop,
            jitter=jitter,
        )  # fmt: skip
        self._collector = Collector(
            api=api, ledger=ledger, outputs=outputs, clock=clock, observer=observer, jitter=jitter
        )
        self._schedule = Schedule()
        self._to_download: deque[tuple[str, Job | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._posting: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._looking = 0
        self._downloading = 0
        self._failure: LocalIOError | None = None
        self._defect: BaseException | None = None

    async def run(self, batch: Batch) -> Outcome:
        """Work until nothing is left to do or a reason to stop was given."""
        self._source = Source(batch.jobs(), self._ledger, self._policy)
        self._resume(batch)
        self._spawn(self._keep_looking())
        try:
            while not self._finished():
                self._wake.clear()
                self._start_downloads()
                if self._fill_slots():
                    await asyncio.sleep(0)
                    continue
                if not self._finished():
                    await self._wake.wait()
        finally:
            await self._drain()
        if self._defect is not None:
            raise self._defect
        return Outcome(reasons=tuple(self.stop.reasons), failure=self._failure)

    # What is paid for comes first.

    def _resume(self, batch: Batch) -> None:
        open_records = [r for r in self._ledger.records() if _is_open(r, self._policy)]
        open_records.sort(key=lambda record: record.submitted_at or "")
        rows = _rows_of(batch, open_records)
        for record in open_records:
            if record.state is JobState.COMPLETED:
                self._to_download.append((record.job, rows.get(record.job)))
            else:
                self._in_flight += 1
                self._watch(record, rows.get(record.job))

    # Slots.

    def _fill_slots(self) -> bool:
        """Start what fits; whether there may be more rows to look through at once."""
        while not self.stop.submissions and self._in_flight < self._limits.concurrency:
            job = self._source.next_slice()
            if job is None:
                return not self._source.exhausted
            self._in_flight += 1
            self._posting.add(self._spawn(self._submit(job)))
        return False

    async def _submit(self, job: Job) -> None:
        record = None
        try:
            made = self._ledger.made_before(job.id, job.fingerprint)
            if made is not None:
                await self._ledger.restore(made)
            else:
                record = await self._submission.submit(job)
        finally:
            if record is None:
                self._in_flight -= 1
        if record is None:
            self._settle(job.id, job)
        else:
            self._watch(record, job)

    def _settle(self, job_id: str, job: Job | None) -> None:
        """A job came to an end; its row may call for another submission."""
        record = self._ledger.get(job_id)
        if record is not None and record.state is JobState.COMPLETED and self._policy.download:
            self._to_download.append((job_id, job))
        elif job is not None and not self.stop.submissions and self._source.needs_submission(job):
            self._source.put_back(job)

    # Looks.

    def _watch(self, record: JobRecord, job: Job | None) -> None:
        now_s = self._clock.monotonic_s()
        submitted_s = seconds(record.submitted_at)
        age_s = 0.0 if submitted_s is None else max(0.0, self._clock.now_s() - submitted_s)
        patience_s = max(self._timeout_s(job) - age_s, RESUMED_PATIENCE_S)
        flight = Flight(record=record, job=job, since_s=now_s, give_up_at_s=now_s + patience_s)
        self._schedule.add(flight, now_s)
        self._look_wake.set()

    def _timeout_s(self, job: Job | None) -> float:
        if self._limits.job_timeout_s is not None:
            return self._limits.job_timeout_s
        return 2700.0 if job is None or "video" in job.model else 900.0

    async def _keep_looking(self) -> None:
        while True:
            self._look_wake.clear()
            while self._looking < self._limits.looks and not self.stop.looks:
                flight = self._schedule.pop_due(self._clock.monotonic_s())
                if flight is None:
                    break
                self._looking += 1
                self._spawn(self._look(flight))
            busy = self._looking >= self._limits.looks or self.stop.looks
            due_s = None if busy else self._schedule.next_due_s()
            timeout_s = None if due_s is None else due_s - self._clock.monotonic_s()
            await self._clock.wait(self._look_wake, timeout_s)

    async def _look(self, flight: Flight) -> None:
        try:
            delay_s = await self._lookout.look(flight)
        finally:
            self._looking -= 1
            self._look_wake.set()
        now_s = self._clock.monotonic_s()
        if delay_s is None:
            self._in_flight -= 1
            self._settle(flight.record.job, flight.job)
        elif now_s + delay_s > flight.give_up_at_s:
            self._in_flight -= 1  # given up for this run; it stays resumable
        else:
            self._schedule.add(flight, now_s + delay_s)

    # Downloads.

    def _start_downloads(self) -> None:
        while (
            self._to_download
            and not self.stop.downloads
            and self._downloading < self._limits.downloads
        ):
            self._downloading += 1
            self._spawn(self._download(*self._to_download.popleft()))

    async def _download(self, job_id: str, job: Job | None) -> None:
        try:
            ended = await self._collector.collect(job_id)
        finally:
            self._downloading -= 1
        if ended:
            self._settle(job_id, job)

    # Beginning and end.

    def _finished(self) -> bool:
        submitting = not (self.stop.submissions or self._source.exhausted)
        looking = bool(self._in_flight) and not self.stop.looks
        posting = bool(self._posting) and not self.stop.downloads
        fetching = bool(self._downloading or self._to_download) and not self.stop.downloads
        return not (submitting or looking or posting or fetching)

    async def _drain(self) -> None:
        """Let POSTs that have left be answered and recorded; end everything else."""
        for task in self._tasks - self._posting:
            task.cancel()
        if self._posting:
            await asyncio.wait(self._posting, timeout=self._limits.drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._posting.discard(task)
        self._on_change()
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, LocalIOError):
            self._failure = self._failure or error
            self.stop.request(StopReason.DISK)
        elif error is not None:
            self._defect = error
            self.stop.request(StopReason.DISK)

    def _on_change(self) -> None:
        self._wake.set()
        self._look_wake.set()


def _is_open(record: JobRecord, policy: Policy) -> bool:
    to_download = record.state is JobState.COMPLETED and policy.download
    return record.state in IN_FLIGHT or to_download


def _rows_of(batch: Batch, open_records: list[JobRecord]) -> dict[str, Job]:
    """The rows of open jobs, which are needed where a job fails or was edited meanwhile."""
    wanted = {record.job: record for record in open_records}
    if not wanted:
        return {}
    return {job.id: job for job in batch.jobs() if _may_be_submitted(job, wanted.get(job.id))}


def _may_be_submitted(job: Job, record: JobRecord | None) -> bool:
    """Whether collecting this record can be followed by a submission of its row."""
    if record is None:
        return False
    return record.state is not JobState.COMPLETED or record.fingerprint != job.fingerprint
