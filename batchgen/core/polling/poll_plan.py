"""Plans of polls: the cheapest times to poll one job, and the pace while too little is known.

A plan solves the inspection problem of reliability theory (Barlow, Hunter, Proschan 1963) on a grid
of ages, exactly and from the far end. With `S[i]` the chance to be alive at age `t[i]`, `W[i]` the
cost from there on, and `w` the cost in calls of a lag of one second,

    W[i] = min over j > i of   S[i] + w * E[t[j] - end; t[i] < end <= t[j]] + W[j]

`W` is not divided by `S`, so surviving is part of it: whatever follows a poll that found the job
alive is conditioned on that. `docs/polling.md` has the derivation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPlan:
    """The time of the next poll for every age that a job may have reached."""

    ages_s: tuple[float, ...]
    """The grid, ascending. It begins with 0 twice: not polled yet, and polled once."""
    following: tuple[int, ...]
    """For each age but the last: the index of the next poll if the job is alive there."""
    alive: tuple[float, ...]
    """The chance to be alive at each age."""
    cost_calls: float
    """The expected polls and lag of a new job, in calls."""
    mean_s: float

    @property
    def end_s(self) -> float:
        """The age at which the plan ends."""
        return self.ages_s[-1]

    def first_age_s(self, *, jitter: float) -> float:
        """Return the age at which to poll a new job; `jitter` in [0, 1) spreads it."""
        return self._spread(0, jitter)

    def next_age_s(self, alive_at_s: float, *, jitter: float) -> float | None:
        """Return the age of the next poll of a job seen alive at this age; None past the plan."""
        if alive_at_s >= self.end_s:
            return None
        return max(self._spread(self._index(alive_at_s), jitter), alive_at_s)

    def chance_alive(self, age_s: float) -> float:
        """Return the chance that a job lives beyond this age."""
        return self.alive[self._index(age_s)]

    def _index(self, age_s: float) -> int:
        """Return the index of the nearest age of the grid that has a poll after it."""
        above = min(max(bisect_right(self.ages_s, age_s), 2), len(self.ages_s) - 1)
        below = above - 1
        nearer = age_s - self.ages_s[below] > self.ages_s[above] - age_s
        return min(above if nearer else below, len(self.following) - 1)

    def _spread(self, index: int, jitter: float) -> float:
        """Return the age of the poll after this, moved by up to a quarter of the gaps around it.

        Otherwise jobs that were accepted together would be polled together, and no poll would ever
        learn anything between the ages of the plan.
        """
        poll = self.following[index]
        planned_s = self.ages_s[poll]
        gap_s = planned_s - self.ages_s[index]
        if poll < len(self.following):
            gap_s = min(gap_s, self.ages_s[self.following[poll]] - planned_s)
        return planned_s + gap_s * (jitter - 0.5) / 2


def cheapest_polls(
    ages_s: Sequence[float], mass: Sequence[float], *, lag_calls_per_s: float
) -> PollPlan:
    """Return the cheapest plan if a job ends within `ages_s[k : k + 2]` with chance `mass[k]`."""
    middles = [(low + high) / 2 for low, high in pairwise(ages_s)]
    alive = _sums_from(mass)
    moment = _sums_from([share * middle for share, middle in zip(mass, middles, strict=True)])
    cost = [0.0] * len(ages_s)
    following = [0] * len(mass)
    for here in reversed(range(len(mass))):
        cost[here] = inf
        for poll in range(here + 1, len(ages_s)):
            lag_s = ages_s[poll] * (alive[here] - alive[poll]) - (moment[here] - moment[poll])
            now = alive[here] + lag_calls_per_s * lag_s
            if now >= cost[here]:
                break  # a later poll only adds lag
            if now + cost[poll] < cost[here]:
                cost[here], following[here] = now + cost[poll], poll
        following[here] = following[here] or here + 1
    return PollPlan(
        ages_s=tuple(ages_s), following=tuple(following), alive=tuple(alive),
        cost_calls=cost[0], mean_s=moment[0] / alive[0] if alive[0] else 0.0,
    )  # fmt: skip


def cells(ages_s: Sequence[float], after_s: float | None, by_s: float) -> tuple[int, int]:
    """Return the cells of the grid for an end in `(after_s, by_s]`: first, and one past the last.

    `after_s` None: there was no poll before, so the job may have ended at once.
    """
    last = len(ages_s) - 2
    first = 0 if after_s is None else min(max(bisect_right(ages_s, after_s) - 1, 0), last)
    return first, min(max(bisect_left(ages_s, by_s), first + 1), last + 1)


def _sums_from(values: Sequence[float]) -> list[float]:
    """Return for each index the sum from there to the end, and a 0 after them."""
    return [*list(accumulate(reversed(values)))[::-1], 0.0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """Polls at growing intervals, for jobs of which nothing is known.

    The first is immediate, and at most `share` of a job's age is lost in waiting for the next one.
    Since intervals grow with the age, the number of calls is logarithmic in the duration; a fixed
    interval is either too long or costs too many calls.
    """

    min_s: float = 0.1
    max_s: float = 5.0
    share: float = 0.25

    def delay_s(self, age_s: float, polls: int, *, jitter: float) -> float:
        """Return the seconds until the next poll of a job of this age that had `polls` polls.

        `jitter` is a random number in [0, 1); it spreads jobs that were accepted together.
        """
        if polls == 0:
            return 0.0
        step = min(max(self.min_s, age_s * self.share), self.max_s)
        return step * (0.85 + 0.3 * jitter)


MAX_OVERDUE_S = 30.0
"""Between two polls of an overdue job."""


def overdue_delay_s(age_s: float, overdue_s: float, *, jitter: float) -> float:
    """Return the seconds until the next poll of a job that takes longer than any before it.

    The interval is half the time that the job is overdue, since most stragglers are a little late
    and few are very late. It is never over `MAX_OVERDUE_S`, nor over a quarter of the age.
    """
    step = max(overdue_s * 0.5, age_s * 0.02)
    step = min(step, age_s * 0.22, MAX_OVERDUE_S / 1.15)
    return max(step, 0.1) * (0.85 + 0.3 * jitter)
