"""The durations of the jobs of one model, learned from polls, and the plan of polls for them.

A poll never sees an end, only that it lies between two polls: in `(after, by]`. The distribution
is fitted to such intervals by Turnbull's self-consistent estimator (1976), stopped early and mixed
with the intervals spread evenly. Without that, ends that became quicker than every poll would
always be taken for ends just before the first poll. Jobs that have not ended count too, as
`(alive, no end)`: the first ends of a run are those of quick jobs, and alone they would make all
jobs seem quick.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from batchgen.core.lifecycle import PAID_FOR, JobRecord
from batchgen.core.polling.poll_plan import PollPlan, cells, cheapest_polls
from batchgen.core.units import seconds


class Expectation:
    """The time that a job of one model needs, for deciding whether there is time for another one.

    It is the longest of the last 50 durations and a tenth more, not the mean: a job that is
    submitted too late is paid for and not collected in this run.
    """

    def __init__(self) -> None:
        self._durations_s: deque[float] = deque(maxlen=50)

    def learn(self, duration_s: float) -> None:
        """Learn the time from the POST of a job to its end, as this run saw it."""
        self._durations_s.append(duration_s)

    @property
    def expected_s(self) -> float:
        """The time that the next job needs; 0 while nothing is known."""
        return max(self._durations_s, default=0.0) * 1.1


MAX_ENDS = 200
"""Only the last ends count, because a model may change its pace."""
MAX_ALIVE = 200
"""A sample of the jobs that have not ended is enough."""
MAX_SEEDS = 50
"""Fewer ends of earlier runs count, so that those of this run soon outweigh them."""
MIN_ENDS = 3
"""Fewer ends may be chance, so there is no plan yet."""
LAG_WEIGHT = 130.0
"""Cost of lag: one mean duration of delay counts as this many API calls."""
AT_ONCE_S = 0.05
"""A shorter wait has no use: a call takes as long."""
FIT_ROUNDS = 6
"""Few iterations, so that the fit stays smooth."""
EVEN_SHARE = 0.25
"""The share of each interval that stays spread evenly, whatever the others show."""
HORIZON = 8.0
"""A plan reaches this many times the longest known age."""

Interval = tuple[float | None, float]


class DurationEstimate:
    """The distribution of the time from some begin, such as the acceptance, to the end of a job."""

    def __init__(self) -> None:
        self._seen: deque[Interval] = deque(maxlen=MAX_ENDS)
        self._alive: dict[object, float] = {}
        self._unfitted = 0
        self._plan: PollPlan | None = None
        self._soonest_s = 0.0

    def __len__(self) -> int:
        return len(self._seen)

    def seed(self, durations_s: Iterable[float]) -> None:
        """Learn the durations of earlier runs, oldest first. Polls saw those ends a little late."""
        latest = deque((one for one in durations_s if one >= 0), maxlen=MAX_SEEDS)
        for duration_s in latest:
            self.learn(after_s=duration_s * 0.9, by_s=duration_s)

    def still_alive(self, job: object, age_s: float) -> None:
        """Learn that this job was alive at this age; a later call replaces the age."""
        if job in self._alive or len(self._alive) < MAX_ALIVE:
            self._alive[job] = age_s

    def learn(self, *, after_s: float | None, by_s: float, job: object = None) -> None:
        """Learn that a job was alive at one age (None: not polled) and ended at the other."""
        self._alive.pop(job, None)
        if by_s < AT_ONCE_S:
            after_s, by_s = None, 0.0
        self._seen.append((after_s, max(by_s, after_s or 0.0)))
        self._unfitted += 1

    @property
    def plan(self) -> PollPlan | None:
        """The cheapest plan of polls; None while too little is known."""
        if len(self._seen) < MIN_ENDS:
            return None
        if self._plan is None or self._unfitted > len(self._seen) // 10:
            self._unfitted = 0
            self._soonest_s = min(by_s for _, by_s in self._seen)
            self._plan = _plan(self._seen, tuple(self._alive.values()))
        return self._plan

    def may_have_ended(self, age_s: float) -> bool:
        """Tell whether any job is known to have ended by this age."""
        return self.plan is not None and age_s >= self._soonest_s


def past_duration_s(record: JobRecord) -> float | None:
    """Return the seconds from submission to the end that an earlier run saw; None if unknown."""
    began_s, ended_s = seconds(record.submitted_at), seconds(record.finished_at)
    if record.state not in PAID_FOR or began_s is None or ended_s is None or ended_s < began_s:
        return None
    return ended_s - began_s


def _plan(ended: Sequence[Interval], alive_s: Sequence[float]) -> PollPlan:
    # An end that was seen late (because the machine slept) says little about the range.
    ends = sorted(by_s for _, by_s in ended)
    known = [ends[(len(ends) * 19) // 20], *(after_s or 0.0 for after_s, _ in ended), *alive_s]
    far_s = max(AT_ONCE_S, *known)
    seen = [*ended, *((age_s, far_s * HORIZON) for age_s in alive_s)]
    ages_s = _grid(seen, far_s)
    mass = _fit(ages_s, Counter(cells(ages_s, *one) for one in seen), far_s)
    middles = [(low + high) / 2 for low, high in pairwise(ages_s)]
    mean_s = sum(share * middle for share, middle in zip(mass, middles, strict=True))
    return cheapest_polls(ages_s, mass, lag_calls_per_s=LAG_WEIGHT / max(mean_s, AT_ONCE_S))


def _grid(seen: Sequence[Interval], far_s: float) -> list[float]:
    """Return ages: evenly over the range, more of them near ends that were seen, and beyond."""
    places = sorted(min(place or 0.0, far_s) for interval in seen for place in interval)
    dense = [places[(len(places) - 1) * n // 48] for n in range(49)]
    dense += [(low + high) / 2 for low, high in pairwise(dense)]
    even = [far_s * n / 64 for n in range(1, 65)]
    beyond = [far_s * HORIZON ** (n / 32) for n in range(1, 33)]
    ages_s = [0.0, 0.0]
    for age_s in sorted(dense + even + beyond):
        if age_s >= ages_s[-1] + max(age_s * 0.005, AT_ONCE_S / 2):
            ages_s.append(age_s)
    return ages_s


def _fit(ages_s: Sequence[float], seen: Counter[tuple[int, int]], far_s: float) -> list[float]:
    """Return the chance of an end in each cell; `seen` counts the intervals by their cells."""
    weights = [_weight(low, high, far_s) for low, high in pairwise(ages_s)]
    spread = _shared(weights, seen)
    mass = spread
    for _ in range(FIT_ROUNDS):
        sharper = _shared(mass, seen)
        mass = [(1 - EVEN_SHARE) * a + EVEN_SHARE * b for a, b in zip(sharper, spread, strict=True)]
    # Rule of succession: one more end, anywhere, counts as if it had been seen.
    whole, count = sum(weights), seen.total()
    return [(count * a + b / whole) / (count + 1) for a, b in zip(mass, weights, strict=True)]


def _weight(low_s: float, high_s: float, far_s: float) -> float:
    """Return the weight of a cell before any end is seen: even, then falling as 1/age^2.

    So half of the jobs that live longer than all known ones end before they are twice as old.
    """
    return max(high_s - low_s, AT_ONCE_S / 2) * min(1.0, far_s / max(high_s, far_s)) ** 2


def _shared(weights: Sequence[float], found: Counter[tuple[int, int]]) -> list[float]:
    """Split one share of each interval over its cells by their weights.

    This takes one pass over the intervals and one over the cells: a cell gets its weight times the
    sum of 1 / (weight of the interval) over the intervals that cover it.
    """
    before = [0.0, *accumulate(weights)]
    steps = [0.0] * (len(weights) + 1)
    total = found.total()
    for (first, past), count in found.items():
        share = count / (before[past] - before[first]) / total
        steps[first] += share
        steps[past] -= share
    return [max(0.0, a * b) for a, b in zip(weights, accumulate(steps), strict=False)]
