"""What was accepted and has not ended: one schedule of looks for all of it.

A heap of due times, not a sleeping worker for each job: ten thousand jobs in flight are ten
thousand small entries. A look that fails is made again with backoff; it never fails a job.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.core.answers import (
    Broke,
    Ended,
    Gone,
    Look,
    Produced,
    Queued,
    Running,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.endings import StopReason
from batchgen.core.events import (
    Cancelled,
    ErrorKind,
    Event,
    Failed,
    JobError,
    Started,
    Succeeded,
)
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.pacing import PollPace
from batchgen.core.retry import Backoff
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer
from batchgen.runner.reach import Reach
from batchgen.runner.stopping import Stop


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """One accepted job on its way."""

    record: JobRecord
    job: Job | None
    """Its row; None where the row has gone from the manifest."""
    since_s: float
    """Monotonic time of its acceptance, or of the resumption."""
    give_up_at_s: float
    """Monotonic time after which this run no longer waits for it."""
    looks: int = 0
    failures: int = 0
    """Looks in a row that taught nothing."""


class Schedule:
    """Flights by the time of their next look. No loop and no clock of its own."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Flight]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, flight: Flight, due_s: float) -> None:
        """Look at this flight at that monotonic time."""
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, flight))

    def next_due_s(self) -> float | None:
        """When the first look is due; None where nothing flies."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Flight | None:
        """The flight that has been due for longest; None where none is due yet."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now_s else None


@dataclass(slots=True, kw_only=True)
class Lookout:
    """Looks at flights and puts what it learns on record."""

    api: GenerationAPI
    ledger: Ledger
    clock: Clock
    observer: Observer
    reach: Reach
    stop: Stop
    jitter: Callable[[], float]
    pace: PollPace = field(default_factory=PollPace)
    backoff: Backoff = field(default_factory=Backoff)
    _words: set[str] = field(default_factory=set)

    async def look(self, flight: Flight) -> float | None:
        """Look once. Seconds until the next look; None where the job has ended.

        Raises `LocalIOError` where the ledger could not be written.
        """
        request_id = flight.record.request_id or ""
        answer = await self.api.status(request_id)
        if isinstance(answer, Ended):
            answer = await self.api.result(request_id)
        flight.looks += 1
        self._listen(answer)
        event = _fact(answer, flight.record)
        if event is not None:
            flight.record = await self.ledger.record(flight.record.job, event)
            self.observer.on_event(flight.record.job, event, flight.record)
        if event is not None and not isinstance(event, Started):
            return None
        return self._delay_s(flight, answer)

    def _listen(self, answer: Look) -> None:
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

    def _delay_s(self, flight: Flight, answer: Look) -> float:
        if isinstance(answer, (TryAgain, TokenRejected)):
            flight.failures += 1
            retry_after_s = answer.retry_after_s if isinstance(answer, TryAgain) else None
            return self.backoff.delay_s(
                flight.failures, jitter=self.jitter(), retry_after_s=retry_after_s
            )
        flight.failures = 0
        age_s = self.clock.monotonic_s() - flight.since_s
        return self.pace.delay_s(age_s, flight.looks, jitter=self.jitter())


def _fact(answer: Look, record: JobRecord) -> Event | None:
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
