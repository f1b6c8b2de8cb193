"""What was accepted and has not ended: one schedule of looks for all of it.

A heap of due times, not a sleeping worker for each job: ten thousand jobs in flight are ten
thousand small entries. When the next look is due, `core.forecast` says. A look that fails is made
again with backoff; it never fails a job.
"""

from __future__ import annotations

from collections.abc import Callable
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
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer
from batchgen.runner.reachability import Reachability
from batchgen.runner.stopping import Stop
from batchgen.runner.throttling import SubmissionPause
from batchgen.system.crash_points import CrashPoint, reached


@dataclass(slots=True, kw_only=True, eq=False)
class InFlightJob:
    """One accepted job on its way."""

    record: JobRecord
    job: Job | None
    """Its row; None where the row has gone from the manifest."""
    since_s: float
    """Monotonic time of its acceptance, also where that was in an earlier run."""
    give_up_at_s: float
    """Monotonic time after which this run no longer waits for it."""
    resumed: bool = False
    """Whether an earlier run submitted it; then it may have ended long ago."""
    seen: PollObservations = field(default_factory=PollObservations)
    explores: bool = False
    """One of the first of a model that nothing is known of: looked at closely, so that the many
    others need not be."""
    looks: int = 0
    failures: int = 0
    """Looks in a row that taught nothing."""
    shortcut_failed: bool = False
    """Whether `result` was asked first and answered with an error."""


EXPLORING = PollPace(share=0.06, min_s=0.1, max_s=10.0)

HEALTHY_S = 3.0
"""After a look that succeeded, the API counts as healthy for so long."""


@dataclass(slots=True)
class ResultFirst:
    """Whether `result` may be asked before `status` said that a job has ended.

    The API documents `result` as readable in every state, and its own ComfyUI nodes poll nothing
    else; older clients met errors there. An unfinished result that was answered settles it.
    """

    open: bool = True
    _proven: bool = False
    _strikes: int = 0

    def answered(self) -> None:
        """An unfinished `result` was answered with a state."""
        self._proven = True

    def misled(self) -> None:
        """It was an error, and the job turned out to be unfinished: three times is no accident."""
        self._strikes += 1
        self.open = self._proven or self._strikes < 3


@dataclass(slots=True, kw_only=True)
class Poller:
    """Looks at flights and puts what it learns on record."""

    api: GenerationAPI
    ledger: Ledger
    clock: Clock
    observer: Observer
    reach: Reachability
    stop: Stop
    jitter: Callable[[], float]
    forecasts: Forecasts = field(default_factory=Forecasts)
    backoff: Backoff = field(default_factory=Backoff)
    shortcut: ResultFirst = field(default_factory=ResultFirst)
    gate: SubmissionPause | None = None
    """What is told when a look is turned away for its rate: submissions make room first."""
    _words: set[str] = field(default_factory=set)
    _good_at_s: float = -inf
    """When a look last taught something about any job."""

    def knows(self, model: str) -> bool:
        """Whether enough jobs of a model have ended to foretell the others."""
        return self.forecasts.of(model).whole.plan is not None

    def delay_s(self, flight: InFlightJob) -> float:
        """Seconds until the next look at a job that is in flight, as things are known now."""
        return self._forecast(flight).next_delay_s(
            flight.seen, self._age_s(flight), flight.looks, jitter=self.jitter()
        )

    def first_delay_s(self, flight: InFlightJob) -> float:
        """Seconds until the first look; what an earlier run left may have ended already."""
        if flight.resumed:
            return 0.0
        return self._forecast(flight).next_delay_s(flight.seen, 0.0, 0, jitter=self.jitter())

    async def look(self, flight: InFlightJob) -> float | None:
        """Look once. Seconds until the next look; None where the job has ended.

        Raises `LocalIOError` where the ledger could not be written.
        """
        # The age at which the question was put: the answer was true then or a moment later.
        age_s = self._age_s(flight)
        answer = await self._ask(flight, age_s)
        flight.looks += 1
        if not isinstance(answer, (TryAgain, TokenRejected)):
            self._good_at_s = self.clock.monotonic_s()
        self._listen(answer)
        self._learn(flight, answer, age_s)
        event = _fact(answer, flight.record)
        if event is not None:
            await self._keep(flight, event)
        if event is not None and not isinstance(event, Started):
            flight.failures = 0
            return None
        return self._delay_s(flight, answer)

    async def _keep(self, flight: InFlightJob, event: Event) -> None:
        if isinstance(event, Succeeded):
            reached(CrashPoint.RESULT_HEARD)
        flight.record = await self.ledger.record(flight.record.job, event)
        if isinstance(event, Succeeded):
            reached(CrashPoint.RESULT_DURABLE)
        self.observer.on_event(flight.record.job, event, flight.record)

    async def _ask(self, flight: InFlightJob, age_s: float) -> PollAnswer:
        request_id = flight.record.request_id or ""
        likely = self._forecast(flight).may_have_ended(flight.seen, age_s)
        # After a failure `status` is asked, which tells an outage from a refusal of `result`.
        if likely and self.shortcut.open and not flight.failures:
            answer = await self.api.result(request_id)
            flight.shortcut_failed = isinstance(answer, (TryAgain, Gone))
            if isinstance(answer, (Queued, Running)):
                self.shortcut.answered()
            if not isinstance(answer, Gone):
                return answer
        answer = await self.api.status(request_id)
        if isinstance(answer, (Queued, Running)) and flight.shortcut_failed:
            self.shortcut.misled()
            flight.shortcut_failed = False
        return await self.api.result(request_id) if isinstance(answer, Ended) else answer

    def _learn(self, flight: InFlightJob, answer: PollAnswer, age_s: float) -> None:
        forecast, seen = self._forecast(flight), flight.seen
        match answer:
            case Queued():
                forecast.saw_waiting(seen, age_s, answer.position)
            case Running():
                forecast.saw_running(seen, age_s)
            case Produced() | Broke() if seen.alive_s is not None or not flight.resumed:
                forecast.saw_end(seen, age_s)

    def _forecast(self, flight: InFlightJob) -> Forecast:
        return self.forecasts.of(flight.job.model if flight.job else "")

    def _age_s(self, flight: InFlightJob) -> float:
        return self.clock.monotonic_s() - flight.since_s

    def _listen(self, answer: PollAnswer) -> None:
        unheard = isinstance(answer, TryAgain) and not answer.answered
        (self.reach.silent if unheard else self.reach.heard)()
        if isinstance(answer, TokenRejected):
            self.observer.on_note(f"the API rejected the token: {answer.error.message}")
            self.stop.request(StopReason.TOKEN)
        if isinstance(answer, Running) and answer.unknown_word is not None:
            self._warn_once(answer.unknown_word)

    def _warn_once(self, word: str) -> None:
        if word not in self._words:
            self._words.add(word)
            self.observer.on_note(f"the API reports a status {word!r}; taken as still running")

    def _delay_s(self, flight: InFlightJob, answer: PollAnswer) -> float:
        if isinstance(answer, (TryAgain, TokenRejected)):
            flight.failures += 1
            retry_after_s = answer.retry_after_s if isinstance(answer, TryAgain) else None
            if self.gate is not None and answer.error.http_status == 429:
                now_s = self.clock.monotonic_s()
                self.gate.turned_away(sent_at_s=now_s, retry_after_s=retry_after_s)
            # Where other looks succeed, this one was unlucky: no reason to wait for long.
            healthy = self.clock.monotonic_s() - self._good_at_s < HEALTHY_S
            failures = min(flight.failures, 3) if healthy else flight.failures
            return self.backoff.delay_s(failures, jitter=self.jitter(), retry_after_s=retry_after_s)
        flight.failures = 0
        if flight.explores and flight.job is not None and not self.knows(flight.job.model):
            return EXPLORING.delay_s(self._age_s(flight), flight.looks, jitter=self.jitter())
        return self.delay_s(flight)


def _fact(answer: PollAnswer, record: JobRecord) -> Event | None:
    """What a look adds to the record; None where it adds nothing."""
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
        case Queued() | Running() | Ended() | TryAgain() | TokenRejected() | _:
            return None
