"""The run: free slots are filled at once, until no work is left or there is a reason to stop.

One loop (`_work`) decides. It never waits for a call itself: submissions, polls and downloads are
tasks, and each wakes the loop when it ends. A job holds a slot from its POST to its end.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from batchgen.core.admission import Admission
from batchgen.core.budget import Budget
from batchgen.core.errors import LocalIOError, defect_sentence
from batchgen.core.events import AnswerLost, ErrorKind, JobError
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import IN_FLIGHT, PAID_FOR, JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.core.polling.durations import Expectation
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import ConcurrencyWindow
from batchgen.ports import (
    AddressCheck,
    AssetStore,
    Clock,
    GenerationAPI,
    Ledger,
    Observer,
    OutputStore,
)
from batchgen.runner.context import RunContext
from batchgen.runner.downloads import Downloads
from batchgen.runner.job_inputs import JobInputs, OutputFinder
from batchgen.runner.job_queue import JobQueue, NoJob, left_open, rows_of_open_jobs
from batchgen.runner.poll_loop import PollLoop
from batchgen.runner.poller import InFlightJob, Poller
from batchgen.runner.spending import Spending
from batchgen.runner.stopping import Limits, cancel_all
from batchgen.runner.submission import OutageProbe, Submission
from batchgen.runner.tasks import TaskGroup

REVIEWS_S = 2.0
"""Seconds between two looks at the verdicts of the user, while jobs wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of the run itself; what became of the jobs is in the ledger."""

    reasons: tuple[StopReason, ...]
    failure: LocalIOError | None = None
    stopped_models: dict[str, str] = field(default_factory=dict)
    """Models whose submissions were stopped, and why."""
    left_alone: frozenset[str] = frozenset()
    """Jobs that met a defect of this program; nothing more was done about them."""
    silence: str = ""
    """Why the API could not be reached, if that ended the run."""
    full_budgets: frozenset[str] = frozenset()
    """The budgets of values of columns that left jobs for a later run."""
    signalled_at_s: float | None = None
    """The monotonic time of the first signal."""
    outages: tuple[tuple[float, float], ...] = ()
    """When the API gave no answer, from and to, in seconds since 1970."""


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
        adopt_later: Mapping[str, str] | None = None,
        addresses: AddressCheck | None = None,
        assets: AssetStore | None = None,
        find_output: OutputFinder = lambda _: None,
        has_new_reviews: Callable[[], bool] | None = None,
    ) -> None:
        """`adopt_later`: job -> the job of the same input that it takes over, if its own is open.

        That is asked again before the job is submitted, because its input is paid for already.
        `has_new_reviews` tells whether the user has given verdicts since it was called last; None
        if no job waits for one.
        """
        self._ledger, self._clock, self._observer = ledger, clock, observer
        self._has_new_reviews = has_new_reviews
        self._policy, self._limits = policy, limits
        self._context = context = RunContext(
            api=api, ledger=ledger, clock=clock, observer=observer, limits=limits,
            jitter=rng.random, on_stop=self._on_change,
        )  # fmt: skip
        self.stop = context.stop
        self._tasks = TaskGroup(self._on_change, lambda: self.stop.request(StopReason.DISK))
        self._spending = spending or Spending()
        self._spending.on_room = self._give_turn
        self._full_budgets: set[str] = set()
        """Those of values of columns whose jobs are left for a later run."""
        self._admission, self._window = Admission(), ConcurrencyWindow(cap=limits.concurrency)
        self._submission = Submission(
            context=context, window=self._window, admission=self._admission,
            spending=self._spending, inputs=JobInputs(context, addresses, assets, find_output),
        )  # fmt: skip
        self._outage_probe = OutageProbe(context, self._admission, self._tasks)
        poller = Poller(context)
        self.forecasts = poller.forecasts
        self._poll_loop = PollLoop(
            poller, self._tasks, on_ended=self._free_slot, on_defect=self._leave_alone
        )
        self._downloads = Downloads(
            context, outputs, self._tasks, on_ended=self._settle, on_defect=self._leave_alone
        )
        self._adopt_later = dict(adopt_later or {})
        self._left_alone: set[str] = set()
        self._wake = asyncio.Event()
        self._in_flight = 0
        self._failures = 0
        self._expectations: defaultdict[str, Expectation] = defaultdict(Expectation)

    async def run(self, batch: Batch) -> Outcome:
        """Work until nothing is left to do or there is a reason to stop."""
        self._queue = JobQueue(
            batch.jobs(), self._ledger, self._policy, self._admission.decision,
            decided=self._decided, adopt_later=self._adopt_later, may_submit=batch.may_submit,
        )  # fmt: skip
        self._exhausted = False
        self._batch = batch
        self._resume(batch)
        self._tasks.spawn(self._poll_loop.run())
        self._tasks.spawn(self._limits.stop_in_time(self.stop, self._clock))
        if self._has_new_reviews is not None:
            self._tasks.spawn(self._follow_reviews(self._has_new_reviews))
        try:
            await self._work()
        finally:
            await self._tasks.drain(self._limits.drain_s)
        await self._cancel_if_asked()
        if self._tasks.defect is not None:
            raise self._tasks.defect
        self._context.reachability.end_outage()
        return Outcome(
            reasons=tuple(self.stop.reasons),
            full_budgets=frozenset(self._full_budgets),
            signalled_at_s=self.stop.signalled_at_s,
            outages=tuple(self._context.reachability.outages),
            failure=self._tasks.disk_error,
            stopped_models=self._admission.stopped,
            left_alone=frozenset(self._left_alone),
            silence=self._context.reachability.why,
        )

    def _resume(self, batch: Batch) -> None:
        """Continue what an earlier run left open: what is paid for comes first."""
        in_flight, completed = left_open(self._ledger, self._policy)
        rows = rows_of_open_jobs(batch, self._ledger) if in_flight or completed else {}
        for job_id in completed:
            self._downloads.add(job_id, rows.get(job_id))
        for record in in_flight:
            row = rows.get(record.job)
            self._in_flight += bool(
                self._decided(record.job, partial(self._poll_loop.add, record, row))
            )

    async def _work(self) -> None:
        while not self._finished():
            self._wake.clear()
            self._downloads.start()
            if self._fill_slots():
                await asyncio.sleep(0)
            elif not self._finished():
                await self._clock.wait(self._wake, self._context.pause.left_s or None)

    def _finished(self) -> bool:
        submitting = not (self.stop.no_submissions or self._exhausted)
        polling = bool(self._in_flight) and not self.stop.no_polls
        posting = self._tasks.posting > 0 and not self.stop.no_downloads
        fetching = self._downloads.pending and not self.stop.no_downloads
        return not (submitting or polling or posting or fetching)

    def _on_change(self) -> None:
        self._wake.set()
        self._poll_loop.wake.set()

    def limited_by(self) -> str:
        """Return what limits the speed now, in a word or two; empty if nothing does."""
        if self._downloads.limits_speed:
            return "downloads"
        if self._admission.held:
            return "the API (held after a lost answer)"
        if self._context.pause.left_s or self._window.narrowed:
            return "the API (rate limit)"
        if self._context.is_paced:
            return "--rate"
        return "concurrency" if self._in_flight >= self._limits.concurrency else ""

    # A slot: filled, submitted, and freed when its job has ended.

    def _fill_slots(self) -> bool:
        """Start what fits; return whether to ask the queue again at once."""
        while not self.stop.no_submissions and self._in_flight < self._window.size:
            if self._context.pause.left_s or self._tasks.posting >= self._limits.posts:
                return False
            job = self._queue.next()
            if isinstance(job, NoJob):
                self._exhausted = job is NoJob.EXHAUSTED
                return job is NoJob.MORE
            fits = self._decided(job.id, partial(self._fits, job))
            if fits is None:
                self._queue.settled(job.id)
                continue
            if not fits:
                self._queue.settled(job.id)
                self._queue.put_back(job)
                return False
            self._in_flight += 1
            self._admission.sent(job.model)
            defect = partial(self._submission_failed, job)
            self._tasks.spawn(self._submit(job), posts=True, on_defect=defect)
        return False

    def _give_turn(self, job: Job) -> None:
        self._queue.put_back(job)
        self._exhausted = False
        self._wake.set()

    def _fits(self, job: Job) -> bool | None:
        """Return whether time and money allow this job; a budget may have room again later.

        None if only the budget of its value in a column does not, so that others have their turn.
        """
        expected_s = self._expectations[job.model].expected_s
        if not self._limits.leave_time_for(expected_s, self._clock):
            self.stop.request(StopReason.RUNTIME)
            return False
        made_before = self._ledger.made_before(job.id, job.fingerprint) is not None
        if made_before or job.id in self._adopt_later:
            return True  # what exists is used again, at no cost
        full = self._spending.reserve(job)
        if full is not None and self._spending.is_of_value(full):
            self._wait_for_room(job, full)
            return None
        if full is not None and self._in_flight == 0:
            self._observer.on_note(
                f"the budget for {full.name} of ${full.limit_usd:,.2f} is used up"
            )
            self.stop.request(StopReason.BUDGET)
        return full is None

    def _wait_for_room(self, job: Job, full: Budget) -> None:
        """Park a job; if its budget can have no room in this run, say so once."""
        if self._spending.park(job, full) or full.name in self._full_budgets:
            return
        self._full_budgets.add(full.name)
        self._observer.on_note(
            f"the budget for {full.name} of ${full.limit_usd:,.2f} is used up; what is left of it"
            " waits for a later run, the others continue"
        )

    async def _submit(self, job: Job) -> None:
        accepted, sent_at_s = False, self._clock.monotonic_s()
        try:
            record = (
                await self._restore(job)
                or await self._adopt(job)
                or await self._submission.submit(job)
            )
            accepted = record is not None and record.state in IN_FLIGHT
        except LocalIOError:
            raise
        except Exception as error:
            await self._doubt(job, error)
            raise
        finally:
            self._queue.settled(job.id)
            self._admission.ended(job.model)
            self._in_flight -= not accepted
        if record is None:
            return  # left for a later run
        self._outage_probe.start_if_held(job.model)
        if record.state in IN_FLIGHT:
            self._poll_loop.add(record, job, sent_at_s=sent_at_s)
        else:
            self._settle(job.id, job, record)

    async def _doubt(self, job: Job, error: Exception) -> None:
        """After a defect of a submission: put the job in doubt if its POST may have left."""
        record = self._ledger.get(job.id)
        if record is None or record.state is not JobState.SUBMITTING:
            return
        self._admission.lost(job.model, ErrorKind.CRASH)
        message = f"{defect_sentence(error)}; the submission may have been accepted"
        event = AnswerLost(error=JobError(kind=ErrorKind.CRASH, message=message))
        await self._context.record(job.id, event)

    def _submission_failed(self, job: Job, error: Exception) -> None:
        """Leave a job alone whose submission met a defect; its POST may have been accepted."""
        self._leave_alone(job.id, error)
        record = self._ledger.get(job.id)
        if record is None or record.state is JobState.PENDING:
            self._spending.release(job.id)
        elif record.state not in IN_FLIGHT:
            self._spending.settle(record, job.model)
        self._outage_probe.start_if_held(job.model)

    def _leave_alone(self, job: str, error: Exception) -> None:
        """Say once that a job met a defect, and do nothing more about it in this run."""
        if job in self._left_alone:
            return
        self._left_alone.add(job)
        self._observer.on_note(
            f"job {job!r} is left as the ledger has it, the others continue:"
            f" {defect_sentence(error)}: {error}"
        )

    def _decided(self, job: str, decide: Callable[[], bool | None]) -> bool | None:
        """Return what is decided about one job; None if that met a defect."""
        try:
            return decide()
        except LocalIOError:
            raise
        except Exception as error:  # noqa: BLE001 - one job must not end the run for the others
            self._leave_alone(job, error)
            return None

    async def _restore(self, job: Job) -> JobRecord | None:
        """Use what an earlier attempt made of this very input, if anything: it costs nothing."""
        made = self._ledger.made_before(job.id, job.fingerprint)
        if made is None:
            return None
        return await self._ledger.restore(made)

    async def _adopt(self, job: Job) -> JobRecord | None:
        """Take over the job of the same input that had to wait for this one, if there is one."""
        old = self._adopt_later.pop(job.id, None)
        return None if old is None else await self._ledger.adopt(old, job.id)

    def _free_slot(self, job: InFlightJob) -> None:
        """Free the slot of a job that has ended or was waited for long enough."""
        if job.is_over:
            return
        job.is_over = True
        self._in_flight -= 1
        record, model = job.record, job.row.model if job.row else None
        if record.state in IN_FLIGHT:
            return
        self._spending.settle(record, model)
        if model is not None:
            self._expectations[model].learn(self._clock.monotonic_s() - job.accepted_at_s)
            if record.error is None:
                self._admission.succeeded(model)
            else:
                self._admission.failed(model, record.error.kind)
        self._settle(record.job, job.row, record)

    def _settle(self, job_id: str, row: Job | None, record: JobRecord | None = None) -> None:
        """Decide what follows a step of a job: a download, another submission, or nothing."""
        if job_id in self._left_alone:
            return
        if self._queue.ended(job_id):
            self._exhausted = False
        record = record or self._ledger.get(job_id)
        state = record.state if record is not None else None
        if state in PAID_FOR and row is not None:
            self._give_turns_after(row)
        if state is JobState.FAILED:
            self._failures += 1
            limit = self._limits.max_failures
            if limit is not None and self._failures >= limit:
                self.stop.request(StopReason.FAILURES)
        if state is JobState.COMPLETED and self._policy.download:
            self._downloads.add(job_id, row)
        elif row is not None and self._queue.needs_submission(row, record):
            self._queue.put_back(row)
            self._exhausted = False

    async def _follow_reviews(self, has_new: Callable[[], bool]) -> None:
        """Look for jobs that the user has just let go, once every row was read."""
        while True:
            await self._clock.sleep(REVIEWS_S)
            if self._exhausted and has_new():
                self._queue.read_again(self._batch.jobs())
                self._exhausted = False
                self._wake.set()

    def _give_turns_after(self, row: Job) -> None:
        """Give the jobs that are made from this one their turn."""
        for job in self._batch.following(row):
            if self._queue.follow(job):
                self._exhausted = False

    async def _cancel_if_asked(self) -> None:
        """Cancel what is queued remotely, after a signal and if the user wants it."""
        if not (self._limits.cancel_on_interrupt and self.stop.interrupted):
            return
        queued = list(self._ledger.records(JobState.IN_QUEUE))
        try:
            async with asyncio.timeout(self._limits.cancel_s):
                found = await cancel_all(self._context.api, self._ledger, queued, self._clock)
            unknown = f", {found.unknown} not confirmed" if found.unknown else ""
            self._observer.on_note(
                f"{found.cancelled} cancelled, {found.running} not cancellable{unknown}"
            )
        except TimeoutError:
            self._observer.on_note("not every cancellation was answered in time; see `status`")
