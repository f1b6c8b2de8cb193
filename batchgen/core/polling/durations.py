"""How long a job of a model may be expected to take, for deciding whether there is time for one.

The longest of the last ends, not the mean: a job that is submitted too late is paid for and not
collected in this run.

How long the jobs of one model take, learned from looks, and the plan of looks that follows.

A look never sees an end, only that it lies between two looks: `(after, by]`. The distribution is
fitted to such intervals by Turnbull's self-consistent estimator (1976), stopped early and mixed
with the spread-out intervals themselves: without that, ends that became quicker than every look
would for ever be taken for ends just before the first look. Jobs that have not ended count too, as
`(alive, without end)`: the first ends of a run are the quick ones, and alone they would promise
that all jobs are quick.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from batchgen.core.lifecycle import PAID_FOR, JobRecord
from batchgen.core.polling.poll_plan import PollPlan, cells, cheapest_polls
from batchgen.core.units import seconds

REMEMBERED = 50
MARGIN = 1.1


class Expectation:
    """The last durations of one model, from the POST to the end as this run learned it."""

    def __init__(self) -> None:
        self._durations_s: deque[float] = deque(maxlen=REMEMBERED)

    def learn(self, duration_s: float) -> None:
        """One more job has ended after so long."""
        self._durations_s.append(duration_s)

    @property
    def expected_s(self) -> float:
        """What the next one should be given; 0 while nothing is known."""
        return max(self._durations_s, default=0.0) * MARGIN


WINDOW = 200
"""Ends that are remembered; older ones make room, so that a model may change its pace."""
OPEN = 200
"""Jobs not yet ended that are taken into account."""
SEEDS = 50
"""Of an earlier run's ends so many count, the latest: what is seen now soon outweighs them."""
ENOUGH = 3
"""Ends before a plan is made of them."""
LAG_WEIGHT = 130.0
"""Calls that a lag of one mean duration is worth. A hundred is a call for a hundredth."""
AT_ONCE_S = 0.05
"""Less than this is no wait: a call takes as long."""
ROUNDS = 6
DOUBT = 0.25
"""Share of each interval that stays spread over all of it, whatever the others say."""

HORIZON = 8.0
"""So many times the longest known age is how far a plan goes."""

Interval = tuple[float | None, float]


class DurationEstimate:
    """The durations of one model, in seconds from some beginning to the end of the job."""

    def __init__(self) -> None:
        self._seen: deque[Interval] = deque(maxlen=WINDOW)
        self._alive: dict[object, float] = {}
        self._unfitted = 0
        self._plan: PollPlan | None = None
        self._soonest_s = 0.0

    def __len__(self) -> int:
        return len(self._seen)

    def seed(self, durations_s: Iterable[float]) -> None:
        """Durations of earlier runs, oldest first, as learned: a little late, as looks are."""
        latest = deque((one for one in durations_s if one >= 0), maxlen=SEEDS)
        for duration_s in latest:
            self.learn(after_s=duration_s * 0.9, by_s=duration_s)

    def still_alive(self, job: object, age_s: float) -> None:
        """This job had not ended at this age; called again as it grows older."""
        if job in self._alive or len(self._alive) < OPEN:
            self._alive[job] = age_s

    def learn(self, *, after_s: float | None, by_s: float, job: object = None) -> None:
        """A job was alive at one age (None: nobody looked) and had ended at the other."""
        self._alive.pop(job, None)
        if by_s < AT_ONCE_S:
            after_s, by_s = None, 0.0
        self._seen.append((after_s, max(by_s, after_s or 0.0)))
        self._unfitted += 1

    @property
    def plan(self) -> PollPlan | None:
        """The looks that cost least; None while too little is known."""
        if len(self._seen) < ENOUGH:
            return None
        if self._plan is None or self._unfitted > len(self._seen) // 10:
            self._unfitted = 0
            self._soonest_s = min(by_s for _, by_s in self._seen)
            self._plan = _plan(self._seen, tuple(self._alive.values()))
        return self._plan

    def may_have_ended(self, age_s: float) -> bool:
        """Whether some job is known to have ended by this age."""
        return self.plan is not None and age_s >= self._soonest_s


def past_duration_s(record: JobRecord) -> float | None:
    """Seconds from submission to the end as an earlier run learned it; None where unknown."""
    began_s, ended_s = seconds(record.submitted_at), seconds(record.finished_at)
    if record.state not in PAID_FOR or began_s is None or ended_s is None or ended_s < began_s:
        return None
    return ended_s - began_s


def _plan(ended: Sequence[Interval], alive_s: Sequence[float]) -> PollPlan:
    # An end that was learned late (a machine that slept) says little about the range.
    ends = sorted(by_s for _, by_s in ended)
    known = [ends[(len(ends) * 19) // 20], *(after_s or 0.0 for after_s, _ in ended), *alive_s]
    far_s = max(AT_ONCE_S, *known)
    seen = [*ended, *((age_s, far_s * HORIZON) for age_s in alive_s)]
    ages_s = _grid(seen, far_s)
    mass = _fit(ages_s, [cells(ages_s, after_s, by_s) for after_s, by_s in seen], far_s)
    middles = [(low + high) / 2 for low, high in pairwise(ages_s)]
    mean_s = sum(share * middle for share, middle in zip(mass, middles, strict=True))
    return cheapest_polls(ages_s, mass, lag_calls_per_s=LAG_WEIGHT / max(mean_s, AT_ONCE_S))


def _grid(seen: Sequence[Interval], far_s: float) -> list[float]:
    """Ages that are even over the whole range, dense where ends were seen, and go on past them."""
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


def _fit(ages_s: Sequence[float], seen: Sequence[tuple[int, int]], far_s: float) -> list[float]:
    """The chance of an end in each cell."""
    weights = [_weight(low, high, far_s) for low, high in pairwise(ages_s)]
    spread = _shared(weights, seen)
    mass = spread
    for _ in range(ROUNDS):
        sharper = _shared(mass, seen)
        mass = [(1 - DOUBT) * a + DOUBT * b for a, b in zip(sharper, spread, strict=True)]
    # Rule of succession: the next end lies anywhere with the weight of one that was seen.
    whole, count = sum(weights), len(seen)
    return [(count * a + b / whole) / (count + 1) for a, b in zip(mass, weights, strict=True)]


def _weight(low_s: float, high_s: float, far_s: float) -> float:
    """What a cell is worth before anything is seen: even, and past the known falling as 1/age^2.

    So half of the jobs that outlive every known one end before they are twice as old.
    """
    return max(high_s - low_s, AT_ONCE_S / 2) * min(1.0, far_s / max(high_s, far_s)) ** 2


def _shared(weights: Sequence[float], found: Sequence[tuple[int, int]]) -> list[float]:
    """Each interval gives one share, split over its cells by their weights.

    In one pass over intervals and one over cells: a cell gets its weight times the sum of
    1 / (weight of the interval) over the intervals that cover it.
    """
    before = [0.0, *accumulate(weights)]
    steps = [0.0] * (len(weights) + 1)
    for first, past in found:
        covered = before[past] - before[first]
        steps[first] += 1 / covered / len(found)
        steps[past] -= 1 / covered / len(found)
    return [max(0.0, a * b) for a, b in zip(weights, accumulate(steps), strict=False)]
