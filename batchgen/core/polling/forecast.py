"""Forecast of the jobs of one model: when they start and end, and so when to poll them.

The start of a job that was seen waiting with a `queue_position` can be forecast from how fast the
queue moves; from there only its running time is uncertain. For any other job the time counts from
its acceptance. So there are two distributions, and each job follows the plan of one of them:

    whole    acceptance -> end           jobs not seen waiting
    running  forecast start -> end       jobs seen waiting; includes the error of the forecast

No clock, no loop and no randomness: ages are seconds since the acceptance, jitter is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchgen.core.polling.durations import AT_ONCE_S, DurationEstimate
from batchgen.core.polling.poll_plan import PollPace, overdue_delay_s

MAX_WAIT_S = 120.0
"""Between two polls of a job that waits, however long the forecast of its wait is."""
FAR_BACK = 4
"""While nothing is known, a job far back in the queue has intervals up to this much longer."""
MAX_LATE_S = 30.0
"""Between two polls of a job that has probably ended."""
UNKNOWN_PACE = PollPace()
"""For the jobs of a model of which too little is known for a plan."""


@dataclass(slots=True, kw_only=True, eq=False)
class PollObservations:
    """The observations of one job in flight; ages are seconds since its acceptance."""

    alive_s: float | None = None
    """The age at which it was last seen alive, that is, not ended."""
    waiting_s: float | None = None
    """The age at which it was last seen waiting."""
    position: int | None = None
    """Its position in the queue then; None if the answer had none."""
    running_s: float | None = None
    """The age at which it was first seen running."""
    start_s: float | None = None
    """The estimated age at its start; None if it was never seen waiting."""


class QueueMovement:
    """The speed of the queue of a model, over about the last ten observations."""

    MEMORY = 0.9

    def __init__(self) -> None:
        self._places = 0.0
        self._seconds = 0.0

    def learn(self, *, places: int, seconds: float) -> None:
        """Learn that a job moved up by so many places in so many seconds; ignore a move back."""
        if places < 0 or seconds <= 0:
            return
        self._places = self._places * self.MEMORY + places
        self._seconds = self._seconds * self.MEMORY + seconds

    @property
    def s_per_place(self) -> float | None:
        """Seconds per place; None until a job was seen to move."""
        return self._seconds / self._places if self._places else None


@dataclass(slots=True, kw_only=True)
class Forecast:
    """The durations and the queue of one model, and the polls that follow from them."""

    whole: DurationEstimate = field(default_factory=DurationEstimate)
    running: DurationEstimate = field(default_factory=DurationEstimate)
    queue: QueueMovement = field(default_factory=QueueMovement)
    _run_s: float = 0.0
    """A running mean of how long jobs run, of those whose start was seen."""

    # Learning from polls.

    def saw_waiting(self, seen: PollObservations, age_s: float, position: int | None) -> None:
        """Learn that a job waited, with a position or without."""
        if position is not None and seen.position is not None and seen.waiting_s is not None:
            moved = seen.position - position
            self.queue.learn(places=moved, seconds=age_s - seen.waiting_s)
        seen.alive_s = seen.waiting_s = age_s
        self.whole.still_alive(seen, age_s)
        seen.position = position
        pace_s = self.queue.s_per_place
        if position is not None and pace_s is not None:
            # On average, the queue last moved half a step ago.
            seen.start_s = age_s + max(position - 0.5, 0.0) * pace_s
        elif seen.start_s is not None:
            seen.start_s = max(seen.start_s, age_s)

    def saw_running(self, seen: PollObservations, age_s: float) -> None:
        """Learn that a job was running."""
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
        """Learn that a job had ended by this age."""
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
        """Return the age at the start, if two polls enclose it closely."""
        if seen.running_s is None:
            return None
        waiting_s = seen.waiting_s or 0.0
        is_close = seen.running_s - waiting_s < (age_s - waiting_s) / 10
        return (seen.running_s + waiting_s) / 2 if is_close else None

    def _started_by(self, seen: PollObservations, age_s: float) -> None:
        """Learn from a job that started before its forecast: the queue moves at least that fast.

        Two polls see the same job waiting only if the queue is slow. Without the quick ones the
        forecast waits would grow without end.
        """
        is_early = seen.start_s is not None and age_s < seen.start_s
        if is_early and seen.waiting_s is not None and seen.position is not None:
            self.queue.learn(places=seen.position, seconds=max(age_s - seen.waiting_s, AT_ONCE_S))

    # The next poll.

    def may_have_ended(self, seen: PollObservations, age_s: float) -> bool:
        """Tell whether to ask for the result: the job may have ended, and no position is needed."""
        if seen.waiting_s is not None and seen.running_s is None and seen.position is None:
            return False  # only the status tells the position
        if self._has_forecast(seen):
            return self.running.may_have_ended(age_s - (seen.start_s or 0.0))
        return self.whole.may_have_ended(age_s)

    def next_delay_s(
        self, seen: PollObservations, age_s: float, polls: int, *, jitter: float
    ) -> float:
        """Return the seconds until the next poll of a job of this age that had `polls` polls."""
        has_forecast = self._has_forecast(seen)
        plan = self.running.plan if has_forecast else self.whole.plan
        if plan is None:
            delay_s = UNKNOWN_PACE.delay_s(age_s, polls, jitter=jitter)
            return delay_s * min(max(seen.position or 1, 1), FAR_BACK)
        if seen.alive_s is None and self._position_pays():
            return 0.0
        start_s = (seen.start_s or 0.0) if has_forecast else 0.0
        if start_s - age_s > max(plan.mean_s, 1.0):
            return min((start_s - age_s) * 0.75, MAX_WAIT_S) * (0.9 + 0.1 * jitter)
        if seen.alive_s is None or age_s <= start_s:
            next_s: float | None = plan.first_age_s(jitter=jitter)
        else:
            next_s = plan.next_age_s(age_s - start_s, jitter=jitter)
        if next_s is None:
            return overdue_delay_s(age_s, age_s - start_s - plan.end_s, jitter=jitter)
        delay_s = start_s + next_s - age_s
        if polls == 0 and delay_s < AT_ONCE_S:
            return 0.0
        has_probably_ended = plan.chance_alive(max(age_s - start_s, 0.0)) < 0.5
        longest_s = MAX_LATE_S if has_probably_ended else delay_s + AT_ONCE_S
        return min(max(delay_s, AT_ONCE_S), longest_s)

    def _has_forecast(self, seen: PollObservations) -> bool:
        return seen.start_s is not None and self.running.plan is not None

    def _position_pays(self) -> bool:
        """Tell whether a poll at once, for the position, saves more than the call it costs."""
        whole, running = self.whole.plan, self.running.plan
        if self.queue.s_per_place is None or whole is None or running is None:
            return False
        return 1.0 + running.cost_calls < whole.cost_calls


class Forecasts:
    """The forecasts of a run, one for each model."""

    def __init__(self) -> None:
        self._of: dict[str, Forecast] = {}

    def of(self, model: str) -> Forecast:
        """Return the forecast of this model, a new one if there is none."""
        found = self._of.get(model)
        return self._of.setdefault(model, Forecast()) if found is None else found
