"""What is expected of the jobs of one model: when they start, when they end, when to look.

A job that was seen waiting with a `queue_position` has a start that can be foretold from how the
queue moves, and from there only its running time is uncertain. A job that was not is reckoned from
its acceptance. So there are two distributions, and each job is in the plan of one of them:

    whole    acceptance -> end         for jobs not seen waiting
    running  foretold start -> end     for jobs seen waiting; the error of foretelling is in it

No clock, no loop and no randomness: ages are seconds since the acceptance, jitter is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchgen.core.polling.durations import AT_ONCE_S, DurationEstimate
from batchgen.core.polling.poll_plan import OverduePace, PollPace

MAX_WAIT_S = 120.0
"""Between two looks at a job that waits, however long its wait seems to be."""
FAR_BACK = 4
"""The longer intervals of a job that is so far back in the queue, while nothing is known."""
MAX_LATE_S = 30.0
"""Between two looks at a job that has probably ended."""


@dataclass(slots=True, kw_only=True, eq=False)
class PollObservations:
    """What looks have learned about one job in flight; ages in seconds since its acceptance."""

    alive_s: float | None = None
    """When it was last seen not to have ended."""
    waiting_s: float | None = None
    """When it was last seen waiting."""
    position: int | None = None
    """Its place in the queue then; None where the answer did not say."""
    running_s: float | None = None
    """When it was first seen running."""
    start_s: float | None = None
    """When it is thought to start or to have started; None where nobody saw it wait."""


class QueueMovement:
    """How fast the queue in front of a model moves, over the last dozen of observations."""

    MEMORY = 0.9

    def __init__(self) -> None:
        self._places = 0.0
        self._seconds = 0.0

    def learn(self, *, places: int, seconds: float) -> None:
        """One job moved up by so many places in so many seconds; a step back teaches nothing."""
        if places < 0 or seconds <= 0:
            return
        self._places = self._places * self.MEMORY + places
        self._seconds = self._seconds * self.MEMORY + seconds

    @property
    def s_per_place(self) -> float | None:
        """None until a job was seen to move."""
        return self._seconds / self._places if self._places else None


@dataclass(slots=True, kw_only=True)
class Forecast:
    """One model's latencies and queue, and the looks that they call for."""

    whole: DurationEstimate = field(default_factory=DurationEstimate)
    running: DurationEstimate = field(default_factory=DurationEstimate)
    queue: QueueMovement = field(default_factory=QueueMovement)
    unknown: PollPace = field(default_factory=PollPace)
    overdue: OverduePace = field(default_factory=OverduePace)
    _run_s: float = 0.0
    """How long jobs run, roughly, over the last of those whose start was seen."""

    # What was seen.

    def saw_waiting(self, seen: PollObservations, age_s: float, position: int | None) -> None:
        """The job waited, with a position or without."""
        if position is not None and seen.position is not None and seen.waiting_s is not None:
            moved = seen.position - position
            self.queue.learn(places=moved, seconds=age_s - seen.waiting_s)
        seen.alive_s = seen.waiting_s = age_s
        self.whole.still_alive(seen, age_s)
        seen.position = position
        pace_s = self.queue.s_per_place
        if position is not None and pace_s is not None:
            # The job before it started half a step ago, on average.
            seen.start_s = age_s + max(position - 0.5, 0.0) * pace_s
        elif seen.start_s is not None:
            seen.start_s = max(seen.start_s, age_s)

    def saw_running(self, seen: PollObservations, age_s: float) -> None:
        """The job ran."""
        seen.alive_s = age_s
        if seen.running_s is None:
            seen.running_s = age_s
            self._started_by(seen, age_s)
            if seen.start_s is not None:
                seen.start_s = min(seen.start_s, age_s)
        self.whole.still_alive(seen, age_s)
        if seen.start_s is not None:
            self.running.still_alive(seen, age_s - seen.start_s)

    def saw_end(self, seen: PollObservations, age_s: float) -> None:
        """The job had ended at this age."""
        self.whole.learn(after_s=seen.alive_s, by_s=age_s, job=seen)
        start_s = self._known_start_s(seen, age_s)
        if start_s is not None:
            self._run_s += ((age_s - start_s) - self._run_s) / 8 if self._run_s else age_s - start_s
        elif seen.start_s is not None:
            start_s = seen.start_s
            self._started_by(seen, age_s - self._run_s)
        if start_s is not None:
            alive_s = None if seen.alive_s is None else max(0.0, seen.alive_s - start_s)
            self.running.learn(after_s=alive_s, by_s=max(0.0, age_s - start_s), job=seen)

    def _known_start_s(self, seen: PollObservations, age_s: float) -> float | None:
        """When the job started, where looks saw that closely."""
        if seen.running_s is None:
            return None
        waiting_s = seen.waiting_s or 0.0
        closely = seen.running_s - waiting_s < (age_s - waiting_s) / 10
        return (seen.running_s + waiting_s) / 2 if closely else None

    def _started_by(self, seen: PollObservations, age_s: float) -> None:
        """A job that started sooner than foretold: the queue moves at least so fast.

        Only slow queues are ever seen twice by the same job; without this the foretold waits
        would grow and grow.
        """
        late = seen.start_s is not None and age_s < seen.start_s
        if late and seen.waiting_s is not None and seen.position is not None:
            self.queue.learn(places=seen.position, seconds=max(age_s - seen.waiting_s, AT_ONCE_S))

    # What follows.

    def may_have_ended(self, seen: PollObservations, age_s: float) -> bool:
        """Whether a look at this age may well find an end, and none is needed for the queue."""
        if seen.waiting_s is not None and seen.running_s is None and seen.position is None:
            return False  # only the status tells the position
        if self._is_foretold(seen):
            return self.running.may_have_ended(age_s - (seen.start_s or 0.0))
        return self.whole.may_have_ended(age_s)

    def next_delay_s(
        self, seen: PollObservations, age_s: float, polls: int, *, jitter: float
    ) -> float:
        """Seconds until the next look at a job of this age that was looked at `polls` times."""
        foretold = self._is_foretold(seen)
        latency = self.running if foretold else self.whole
        plan = latency.plan
        if plan is None:
            delay_s = self.unknown.delay_s(age_s, polls, jitter=jitter)
            return delay_s * min(max(seen.position or 1, 1), FAR_BACK)
        if seen.alive_s is None and self._position_pays():
            return 0.0
        start_s = (seen.start_s or 0.0) if foretold else 0.0
        if start_s - age_s > max(plan.mean_s, 1.0):
            return min((start_s - age_s) * 0.75, MAX_WAIT_S) * (0.9 + 0.1 * jitter)
        if seen.alive_s is None or age_s <= start_s:
            next_s: float | None = plan.first_age_s(jitter=jitter)
        else:
            next_s = plan.next_age_s(age_s - start_s, jitter=jitter)
        if next_s is None:
            return self.overdue.delay_s(age_s, age_s - start_s - plan.end_s, jitter=jitter)
        delay_s = start_s + next_s - age_s
        if polls == 0 and delay_s < AT_ONCE_S:
            return 0.0
        late = plan.chance_alive(max(age_s - start_s, 0.0)) < 0.5
        return min(max(delay_s, AT_ONCE_S), MAX_LATE_S if late else delay_s + AT_ONCE_S)

    def _is_foretold(self, seen: PollObservations) -> bool:
        return seen.start_s is not None and self.running.plan is not None

    def _position_pays(self) -> bool:
        """Whether a look at once, for the position, saves more than the call that it costs."""
        whole, running = self.whole.plan, self.running.plan
        if self.queue.s_per_place is None or whole is None or running is None:
            return False
        return 1.0 + running.cost_calls < whole.cost_calls


class Forecasts:
    """A forecast for each model, kept for the length of a run."""

    def __init__(self) -> None:
        self._of: dict[str, Forecast] = {}

    def of(self, model: str) -> Forecast:
        """The forecast of this model; a new one where nothing is known."""
        return self._of.setdefault(model, Forecast())
