"""The run: free slots are filled with work at once, until none is left or it has to stop.

One loop conducts. It never waits for a call itself: submissions, looks and downloads are tasks,
and each tells the loop when it ends. In flight counts from the POST to the end of the job.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field

from batchgen.core.admission import Admission
from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.core.polling.durations import Expectation
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import Backoff, ConcurrencyWindow
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer, OutputStore
from batchgen.runner.downloads import Collector, Downloads
from batchgen.runner.job_queue import JobQueue, NoJob, left_open, rows_of
from batchgen.runner.poll_loop import PollLoop
from batchgen.runner.poller import InFlightJob, Poller
from batchgen.runner.reachability import OutageProbe, Reachability
from batchgen.runner.spending import Spending, SpendingGuard
from batchgen.runner.stopping import Cancellation, Limits, Stop
from batchgen.runner.submission import AfterSubmission, Submission
from batchgen.runner.tasks import TaskGroup
from batchgen.runner.throttling import PacedAPI, SubmissionPause


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the run itself ended; what became of the jobs is in the ledger."""

    reasons: tuple[StopReason, ...]
    failure: LocalIOError | None = None
    stopped_models: dict[str, str] = field(default_factory=dict)
    """Models whose submissions were stopped, and why."""


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
        spending: Spending | None = None,
    ) -> None:
        self._ledger, self._clock, self._observer = ledger, clock, observer
        self._policy, self._limits = policy, limits
        self._wake = asyncio.Event()
        self.stop = Stop(self._on_change)
        self._crew = TaskGroup(self._on_change, lambda: self.stop.request(StopReason.DISK))
        self._admission, self._window = Admission(), ConcurrencyWindow(cap=limits.concurrency)
        spending = spending or Spending()
        self._purse = SpendingGuard(spending.budgets, spending.price_of)
        self._api = api = PacedAPI(api, clock, limits.rate_per_s)
        jitter = rng.random
        reach = Reachability(
            clock, self.stop, wait_for_api_s=limits.wait_for_api_s, silence_s=limits.silence_s
        )
        self._gate = SubmissionPause(clock, jitter, Backoff(first_s=0.2))
        self._hold = OutageProbe(api, clock, self._admission, reach, jitter)
        self._submission = Submission(
            api=api, ledger=ledger, clock=clock, observer=observer, reach=reach, stop=self.stop,
            gate=self._gate, window=self._window, admission=self._admission, purse=self._purse,
        )  # fmt: skip
        lookout = Poller(
            api=api, ledger=ledger, clock=clock, observer=observer, reach=reach, stop=self.stop,
            jitter=jitter, gate=self._gate,
        )  # fmt: skip
        self.forecasts = lookout.forecasts
        self._watch = PollLoop(
            lookout=lookout, clock=clock, crew=self._crew, stop=self.stop, at_once=limits.looks,
            job_timeout_s=limits.job_timeout_s, on_landed=self._landed,
        )  # fmt: skip
        collector = Collector(
            api=api, ledger=ledger, outputs=outputs, clock=clock, observer=observer, jitter=jitter
        )
        self._downloads = Downloads(
            collector, self._crew, self.stop, at_once=limits.downloads, on_collected=self._settle
        )
        self._in_flight = 0
        self._failures = 0
        self._expectations: defaultdict[str, Expectation] = defaultdict(Expectation)

    async def run(self, batch: Batch) -> Outcome:
        """Work until nothing is left to do or a reason to stop was given."""
        self._source = JobQueue(batch.jobs(), self._ledger, self._policy, self._admission.decision)
        self._exhausted = False
        self._resume(batch)
        self._crew.spawn(self._watch.keep())
        self._crew.spawn(self._limits.runtime(self.stop, self._clock))
        try:
            await self._conduct()
        finally:
            await self._crew.drain(self._limits.drain_s)
        await self._cancel_if_asked()
        if self._crew.defect is not None:
            raise self._crew.defect
        return Outcome(
            reasons=tuple(self.stop.reasons),
            failure=self._crew.failure,
            stopped_models=self._admission.stopped,
        )

    async def _conduct(self) -> None:
        while not self._finished():
            self._wake.clear()
            self._downloads.start()
            if self._fill_slots():
                await asyncio.sleep(0)
            elif not self._finished():
                await self._clock.wait(self._wake, self._gate.wait_s or None)

    def limited_by(self) -> str:
        """What limits the speed now, in a word or two; empty where nothing does."""
        if self._downloads.limits_speed:
            return "downloads"
        if self._admission.held:
            return "the API (held after a lost answer)"
        if self._gate.wait_s or self._window.narrowed:
            return "the API (rate limit)"
        if self._api.waiting_s > 0:
            return "--rate"
        return "concurrency" if self._in_flight >= self._limits.concurrency else ""

    # What is paid for comes first.

    def _resume(self, batch: Batch) -> None:
        in_flight, completed = left_open(self._ledger, self._policy)
        rows = rows_of(batch, self._ledger) if in_flight or completed else {}
        for job_id in completed:
            self._downloads.add(job_id, rows.get(job_id))
        for record in in_flight:
            self._in_flight += 1
            self._watch.add(record, rows.get(record.job), resumed=True)

    # Slots.

    def _fill_slots(self) -> bool:
        """Start what fits; whether there may be more rows to look through at once."""
        while not self.stop.submissions and self._in_flight < self._window.size:
            if self._gate.wait_s or self._crew.posting >= self._limits.posts:
                return False
            job = self._source.next()
            if isinstance(job, NoJob):
                self._exhausted = job is NoJob.EXHAUSTED
                return job is NoJob.MORE
            if not self._fits(job):
                return False
            self._in_flight += 1
            self._admission.sent(job.model)
            self._crew.spawn(self._submit(job), posts=True)
        return False

    def _fits(self, job: Job) -> bool:
        """Whether time and money allow this job; a budget may have room again once others end."""
        expected_s = self._expectations[job.model].expected_s
        if not self._limits.leave_time_for(expected_s, self._clock):
            self._source.put_back(job)
            self.stop.request(StopReason.RUNTIME)
            return False
        full = self._purse.reserve(job)
        if full is None:
            return True
        self._source.put_back(job)
        if self._in_flight == 0:
            self._observer.on_note(
                f"the budget for {full.name} of ${full.limit_usd:,.2f} is used up"
            )
            self.stop.request(StopReason.BUDGET)
        return False

    async def _submit(self, job: Job) -> None:
        record: JobRecord | AfterSubmission = AfterSubmission.OVER
        try:
            made = self._ledger.made_before(job.id, job.fingerprint)
            if made is not None:
                self._purse.release(job.id)
                await self._ledger.restore(made)
            else:
                record = await self._submission.submit(job)
        finally:
            self._admission.ended(job.model)
            self._in_flight -= not isinstance(record, JobRecord)
        if self._admission.held and self._hold.begin():
            self._crew.spawn(self._hold.probe(job.model, self._on_change))
        if isinstance(record, JobRecord):
            self._watch.add(record, job)
        elif record is AfterSubmission.AGAIN:
            self._put_back(job)
        else:
            self._settle(job.id, job)

    def _landed(self, flight: InFlightJob) -> None:
        """A job has ended, or was waited for long enough."""
        self._in_flight -= 1
        record = flight.record
        if record.state in IN_FLIGHT:
            return
        model = flight.job.model if flight.job else None
        self._purse.settle(record, model)
        if model is not None:
            self._expectations[model].learn(self._clock.monotonic_s() - flight.since_s)
        if model is not None and record.error is None:
            self._admission.succeeded(model)
        elif model is not None and record.error is not None:
            self._admission.failed(model, record.error.kind)
        self._settle(record.job, flight.job)

    def _settle(self, job_id: str, job: Job | None) -> None:
        """A job came to an end; its row may call for another submission."""
        record = self._ledger.get(job_id)
        if record is not None and record.state is JobState.FAILED:
            self._count_failure()
        if record is not None and record.state is JobState.COMPLETED and self._policy.download:
            self._downloads.add(job_id, job)
        elif job is not None and self._source.needs_submission(job):
            self._put_back(job)

    def _put_back(self, job: Job) -> None:
        self._source.put_back(job)
        self._exhausted = False

    def _count_failure(self) -> None:
        self._failures += 1
        limit = self._limits.max_failures
        if limit is not None and self._failures >= limit:
            self.stop.request(StopReason.FAILURES)

    # The end.

    def _finished(self) -> bool:
        submitting = not (self.stop.submissions or self._exhausted)
        looking = bool(self._in_flight) and not self.stop.looks
        posting = self._crew.posting > 0 and not self.stop.downloads
        fetching = self._downloads.pending and not self.stop.downloads
        return not (submitting or looking or posting or fetching)

    async def _cancel_if_asked(self) -> None:
        """After a signal, and only where the user wants it: cancel what is queued remotely."""
        if not (self._limits.cancel_on_interrupt and self.stop.interrupted):
            return
        queued = list(self._ledger.records(JobState.IN_QUEUE))
        try:
            async with asyncio.timeout(self._limits.cancel_s):
                done = await Cancellation(api=self._api, ledger=self._ledger).cancel_all(queued)
            self._observer.on_note(f"{done.cancelled} cancelled, {done.running} not cancellable")
        except TimeoutError:
            self._observer.on_note("not every cancellation was answered in time; see: status")

    def _on_change(self) -> None:
        self._wake.set()
        self._watch.wake.set()
