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
from batchgen.core.throttle import Backoff
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
    resumed: bool = False
    """True if an earlier run submitted it; then it may have ended long ago."""
    observations: PollObservations = field(default_factory=PollObservations)
    explores: bool = False
    """True for the first jobs of an unknown model: polled often, so that the others need not be."""
    polls: int = 0
    failures: int = 0
    """Number of polls in a row that taught nothing."""
    result_failed: bool = False
    """True if `result` was asked first and answered with an error."""


EXPLORING = PollPace(share=0.06, min_s=0.1, max_s=10.0)

HEALTHY_S = 3.0
"""Time for which the API counts as healthy after a poll that succeeded."""


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
        self._succeeded_at_s = -inf
        """When a poll of any job last succeeded."""

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
        answer = await self._ask(job, age_s)
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
        api, request_id = self.context.api, job.record.request_id or ""
        likely = self._forecast(job).may_have_ended(job.observations, age_s)
        # After a failure `status` is asked, which tells an outage from a refusal of `result`.
        if likely and self._result_first.allowed and not job.failures:
            answer = await api.result(request_id)
            job.result_failed = isinstance(answer, (TryAgain, Gone))
            if isinstance(answer, (Queued, Running)):
                self._result_first.answered()
            if not isinstance(answer, Gone):
                return answer
        answer = await api.status(request_id)
        if isinstance(answer, (Queued, Running)) and job.result_failed:
            self._result_first.failed()
            job.result_failed = False
        return await api.result(request_id) if isinstance(answer, Ended) else answer

    def _react(self, answer: PollAnswer) -> None:
        """Tell the rest of the run what the answer means for it."""
        context = self.context
        silent = isinstance(answer, TryAgain) and not answer.answered
        context.reachability.note(answered=not silent)
        match answer:
            case TryAgain():
                return
            case TokenRejected(error=error):
                context.observer.on_note(f"the API rejected the token: {error.message}")
                context.stop.request(StopReason.TOKEN)
                return
            case Running(unknown_word=str(word)) if word not in self._unknown_words:
                self._unknown_words.add(word)
                context.observer.on_note(
                    f"the API reports an unknown status {word!r}; taken as still running"
                )
        self._succeeded_at_s = context.clock.monotonic_s()

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
        if isinstance(answer, (TryAgain, TokenRejected)):
            return self._retry_delay_s(job, answer)
        job.failures = 0
        if job.explores and job.row is not None and not self.knows(job.row.model):
            return EXPLORING.delay_s(self._age_s(job), job.polls, jitter=self.context.jitter())
        return self.delay_s(job)

    def _retry_delay_s(self, job: InFlightJob, answer: TryAgain | TokenRejected) -> float:
        job.failures += 1
        now_s = self.context.clock.monotonic_s()
        retry_after_s = answer.retry_after_s if isinstance(answer, TryAgain) else None
        if answer.error.http_status == 429:  # submissions make room for polls
            self.context.pause.begin(sent_at_s=now_s, retry_after_s=retry_after_s)
        # If other polls succeed, this one was unlucky: no reason to wait for long.
        healthy = now_s - self._succeeded_at_s < HEALTHY_S
        failures = min(job.failures, 3) if healthy else job.failures
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
