"""One poll of one job in flight: what is asked, what the answer means, and when to ask again.

When the next poll is due, `core.polling.forecast` says. A poll that fails is made again with
backoff; it never fails a job.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from batchgen.core.api_answers import (
    Broke,
    Ended,
    Gone,
    PollAnswer,
    Produced,
    Queued,
    Running,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.events import Cancelled, ErrorKind, Event, Failed, JobError, Started, Succeeded
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.polling.forecast import Forecast, Forecasts, PollObservations
from batchgen.core.polling.poll_plan import PollPace
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import HEALTHY_S, Backoff
from batchgen.runner.context import RunContext
from batchgen.system.crash_points import CrashPoint, reached


@dataclass(slots=True, kw_only=True, eq=False)
class InFlightJob:
    """An accepted job that has not ended."""

    record: JobRecord
    row: Job | None
    """None if the row is gone from the manifest."""
    accepted_at_s: float
    """Monotonic time, also if an earlier run submitted it."""
    give_up_at_s: float
    """Monotonic time after which this run no longer waits for it."""
    gone_counts_at_s: float = -inf
    """Monotonic time from which on the API may say that it does not know the request."""
    resumed: bool = False
    """True if an earlier run submitted it; then it may have ended long ago."""
    observations: PollObservations = field(default_factory=PollObservations)
    explores: bool = False
    """True for the first jobs of an unknown model: polled often, so that the others need not be."""
    polls: int = 0
    failures: int = 0
    """Number of calls about it in a row that taught nothing."""
    seen: bool = False
    """True if a poll has ever learned its state."""
    ended_at_s: float | None = None
    """Monotonic time at which `status` first said that it has ended; its result is not read yet."""
    is_over: bool = False
    """True once its slot is free: it has ended, or this run does not wait for it any more."""
    result_failed: bool = False
    """True if `result` was asked first and answered with an error."""


EXPLORING = PollPace(share=0.06, min_s=0.1, max_s=10.0)

HEALTHY_FAILURES = 2
"""While the API is healthy, the backoff goes no further than after so many failures: a second."""

GONE_COUNTS_AFTER_S = 10.0
"""An API may not know everywhere yet a request that it has just accepted, or its result."""

Unanswered = TryAgain | TokenRejected


@dataclass(slots=True)
class ResultFirst:
    """The choice to ask `result` before `status` has said that a job has ended.

    The API documents `result` as readable in every state, and its own ComfyUI nodes poll nothing
    else; older clients met errors there. One answer about an unfinished job settles it.
    """

    allowed: bool = True
    _proven: bool = False
    _errors: int = 0

    def answered(self) -> None:
        """Note that `result` answered for an unfinished job."""
        self._proven = True

    def failed(self) -> None:
        """Note that `result` failed for an unfinished job; after three times it is given up."""
        self._errors += 1
        self.allowed = self._proven or self._errors < 3


class Poller:
    """Polls jobs in flight and puts what it learns on record; one for all jobs of a run."""

    def __init__(self, context: RunContext, forecasts: Forecasts | None = None) -> None:
        self.context = context
        self.forecasts = forecasts or Forecasts()
        self._result_first = ResultFirst()
        self._backoff = Backoff()
        self._unknown_words: set[str] = set()
        self._answered_at_s = -inf
        """When a call about any job was last answered."""

    def knows(self, model: str) -> bool:
        """Return whether enough jobs of a model have ended to forecast the others."""
        return self.forecasts.of(model).whole.plan is not None

    def delay_s(self, job: InFlightJob) -> float:
        """Return the seconds until the next poll, as things are known now."""
        return self._forecast(job).next_delay_s(
            job.observations, self._age_s(job), job.polls, jitter=self.context.jitter()
        )

    def first_delay_s(self, job: InFlightJob) -> float:
        """Return the seconds until the first poll; a job of an earlier run may have ended."""
        return 0.0 if job.resumed else self.delay_s(job)

    async def poll(self, job: InFlightJob) -> float | None:
        """Poll once. Return the seconds until the next poll, or None if the job has ended.

        Raise `LocalIOError` if the ledger could not be written.
        """
        # The age at the question: the answer was true then or a moment later.
        age_s = self._age_s(job)
        answer = self._believed(job, await self._ask(job, age_s))
        job.polls += 1
        self._react(answer)
        self._learn(job, answer, age_s)
        event = _event_of(answer, job.record)
        if event is not None:
            await self._record(job, event)
            if not isinstance(event, Started):
                job.failures = 0
                return None
        return self._next_delay_s(job, answer)

    async def _ask(self, job: InFlightJob, age_s: float) -> PollAnswer:
        if job.ended_at_s is not None:
            return await self._ask_for_result(job)
        likely = self._forecast(job).may_have_ended(job.observations, age_s)
        # After a failure `status` is asked, which tells an outage from a refusal of `result`.
        if likely and self._result_first.allowed and not job.failures:
            answer = await self._result(job)
            job.result_failed = isinstance(answer, (TryAgain, Gone))
            if isinstance(answer, (Queued, Running)):
                self._result_first.answered()
            if not isinstance(answer, Gone):
                return answer
        answer = await self._status(job)
        if isinstance(answer, (Queued, Running)) and job.result_failed:
            self._result_first.failed()
            job.result_failed = False
        return await self._result(job) if isinstance(answer, Ended) else answer

    async def _ask_for_result(self, job: InFlightJob) -> PollAnswer:
        """Ask a job that has ended for its result; if that fails, `status` may know why."""
        answer = await self._result(job)
        is_outage = isinstance(answer, TryAgain) and not self._is_healthy()
        if not (is_outage or isinstance(answer, Gone)):
            return answer
        failures = job.failures
        status = await self._status(job)
        job.failures = failures  # the series is that of `result`
        return answer if isinstance(status, (Ended, TryAgain)) else status

    async def _status(self, job: InFlightJob) -> PollAnswer:
        answer = await self.context.api.status(job.record.request_id or "")
        self._hear(job, answer)
        if isinstance(answer, Ended):
            job.ended_at_s = job.ended_at_s or self.context.clock.monotonic_s()
        elif not isinstance(answer, Unanswered):
            job.ended_at_s = None
        return answer

    async def _result(self, job: InFlightJob) -> PollAnswer:
        answer = await self.context.api.result(job.record.request_id or "")
        self._hear(job, answer)
        if isinstance(answer, (Queued, Running)):
            job.ended_at_s = None
        return answer

    def _hear(self, job: InFlightJob, answer: PollAnswer) -> None:
        """Note that a call was answered: that ends a series of failures."""
        if isinstance(answer, Unanswered):
            return
        self._answered_at_s = self.context.clock.monotonic_s()
        if not isinstance(answer, Gone):
            job.failures = 0

    def _is_healthy(self) -> bool:
        return self.context.clock.monotonic_s() - self._answered_at_s < HEALTHY_S

    def _believed(self, job: InFlightJob, answer: PollAnswer) -> PollAnswer:
        """Return the answer; for a request that is too young to be gone, that nothing was learned.

        So it is for a result that is not there yet, while `status` knows that the job has ended.
        """
        if not isinstance(answer, Gone):
            job.seen = job.seen or not isinstance(answer, Unanswered)
            return answer
        counts_at_s = -inf if job.seen else job.gone_counts_at_s
        if job.ended_at_s is not None:
            counts_at_s = max(counts_at_s, job.ended_at_s + GONE_COUNTS_AFTER_S)
        early = self.context.clock.monotonic_s() < counts_at_s
        return TryAgain(error=answer.error) if early else answer

    def _react(self, answer: PollAnswer) -> None:
        """Tell the rest of the run what the answer means for it."""
        context = self.context
        silent = isinstance(answer, TryAgain) and not answer.answered
        why = answer.error.message if isinstance(answer, TryAgain) and silent else ""
        context.reachability.note(answered=not silent, why=why)
        match answer:
            case TryAgain():
                return
            case TokenRejected(error=error):
                context.observer.on_note(f"the API rejected the token: {error.message}")
                context.stop.request(StopReason.TOKEN)
                return
            case Produced(odd_cost=str(cost)) | Broke(odd_cost=str(cost)) if cost:
                context.observer.on_note(
                    f"the API reports a cost that is not an amount ({cost}); it is ignored"
                )
            case Running(unknown_word=str(word)) if word not in self._unknown_words:
                self._unknown_words.add(word)
                context.observer.on_note(
                    f"the API reports an unknown status {word!r}; taken as still running"
                )

    def _learn(self, job: InFlightJob, answer: PollAnswer, age_s: float) -> None:
        forecast, observations = self._forecast(job), job.observations
        match answer:
            case Queued():
                forecast.saw_waiting(observations, age_s, answer.position)
            case Running():
                forecast.saw_running(observations, age_s)
            case Produced() | Broke() if observations.alive_s is not None or not job.resumed:
                forecast.saw_end(observations, age_s)

    async def _record(self, job: InFlightJob, event: Event) -> None:
        if isinstance(event, Succeeded):
            reached(CrashPoint.RESULT_HEARD)
        job.record = await self.context.ledger.record(job.record.job, event)
        if isinstance(event, Succeeded):
            reached(CrashPoint.RESULT_DURABLE)
        self.context.observer.on_event(job.record.job, event, job.record)

    def _next_delay_s(self, job: InFlightJob, answer: PollAnswer) -> float:
        if isinstance(answer, Unanswered):
            return self._retry_delay_s(job, answer)
        job.failures = 0
        if job.explores and job.row is not None and not self.knows(job.row.model):
            return EXPLORING.delay_s(self._age_s(job), job.polls, jitter=self.context.jitter())
        return self.delay_s(job)

    def _retry_delay_s(self, job: InFlightJob, answer: Unanswered) -> float:
        job.failures += 1
        now_s = self.context.clock.monotonic_s()
        retry_after_s = answer.retry_after_s if isinstance(answer, TryAgain) else None
        if answer.error.http_status == 429:  # submissions make room for polls
            self.context.pause.begin(sent_at_s=now_s, retry_after_s=retry_after_s)
        # If other calls are answered, this one was unlucky: no reason to wait for long.
        failures = min(job.failures, HEALTHY_FAILURES) if self._is_healthy() else job.failures
        return self._backoff.delay_s(
            failures, jitter=self.context.jitter(), retry_after_s=retry_after_s
        )

    def _forecast(self, job: InFlightJob) -> Forecast:
        return self.forecasts.of(job.row.model if job.row else "")

    def _age_s(self, job: InFlightJob) -> float:
        return self.context.clock.monotonic_s() - job.accepted_at_s


def _event_of(answer: PollAnswer, record: JobRecord) -> Event | None:
    """Return what a poll adds to the record; None if it adds nothing."""
    match answer:
        case Produced(outputs=()):
            message = "the API reports a success and names no output"
            error = JobError(kind=ErrorKind.NO_OUTPUT, message=message)
            return Failed(error=error, cost_usd=answer.cost_usd)
        case Produced():
            return Succeeded(outputs=answer.outputs, cost_usd=answer.cost_usd)
        case Broke():
            return Failed(error=answer.error, cost_usd=answer.cost_usd)
        case Gone():
            return Failed(error=answer.error)
        case WasCancelled():
            return Cancelled()
        case Running() if record.state is JobState.IN_QUEUE:
            return Started()
        case _:
            return None
