"""The looks at one job that cost least, where a probability says when it ends.

The inspection problem of reliability theory (Barlow, Hunter, Proschan 1963) on a grid of ages,
solved exactly from the far end: with `S[i]` the chance to be alive at age `t[i]`, `W[i]` the cost
from there on, and `w` what a second of lag costs in calls,

    W[i] = min over j > i of   S[i] + w * E[t[j] - end; t[i] < end <= t[j]] + W[j]

`W` is not divided by `S`, so surviving is part of it: what follows a look that found the job alive
is conditioned on that. Pure arithmetic; `docs/polling.md` has the derivation.

When to look at a job again: from numbers to numbers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPlan:
    """When to look next, for every age that a job may have reached."""

    ages_s: tuple[float, ...]
    """The grid, ascending. It begins with 0 twice: not looked at yet, and looked at once."""
    following: tuple[int, ...]
    """For each age but the last: the index of the next look if the job is alive there."""
    alive: tuple[float, ...]
    """The chance to be alive at each age."""
    cost_calls: float
    """Expected looks and lag of a new job, in calls."""
    mean_s: float

    @property
    def end_s(self) -> float:
        """From this age on the plan knows nothing."""
        return self.ages_s[-1]

    def first_age_s(self, *, jitter: float) -> float:
        """The age at which to look at a new job; `jitter` in [0, 1) spreads it."""
        return self._spread(0, jitter)

    def next_age_s(self, alive_at_s: float, *, jitter: float) -> float | None:
        """The age of the next look at a job seen alive at this age; None past the plan's end."""
        if alive_at_s >= self.end_s:
            return None
        return max(self._spread(self._index(alive_at_s), jitter), alive_at_s)

    def chance_alive(self, age_s: float) -> float:
        """The chance that a job lives beyond this age."""
        return self.alive[self._index(age_s)]

    def _index(self, age_s: float) -> int:
        """The nearest age of the grid that has a look after it."""
        above = min(max(bisect_right(self.ages_s, age_s), 2), len(self.ages_s) - 1)
        below = above - 1
        nearer = age_s - self.ages_s[below] > self.ages_s[above] - age_s
        return min(above if nearer else below, len(self.following) - 1)

    def _spread(self, index: int, jitter: float) -> float:
        """The look after this state, moved by up to a quarter of the gaps around it.

        Jobs that were accepted together would otherwise be looked at together, and no look would
        ever learn anything between the ages of the plan.
        """
        look = self.following[index]
        planned_s = self.ages_s[look]
        gap_s = planned_s - self.ages_s[index]
        if look < len(self.following):
            gap_s = min(gap_s, self.ages_s[self.following[look]] - planned_s)
        return planned_s + gap_s * (jitter - 0.5) / 2


def cheapest_polls(
    ages_s: Sequence[float], mass: Sequence[float], *, lag_calls_per_s: float
) -> PollPlan:
    """Solve for `mass[k]`, the chance of an end between `ages_s[k]` and `ages_s[k + 1]`."""
    middles = [(low + high) / 2 for low, high in pairwise(ages_s)]
    alive = _sums_from(mass)
    moment = _sums_from([share * middle for share, middle in zip(mass, middles, strict=True)])
    cost = [0.0] * len(ages_s)
    following = [0] * len(mass)
    for here in reversed(range(len(mass))):
        cost[here] = inf
        for look in range(here + 1, len(ages_s)):
            ended_s = ages_s[look] * (alive[here] - alive[look]) - (moment[here] - moment[look])
            now = alive[here] + lag_calls_per_s * ended_s
            if now >= cost[here]:
                break  # later looks only add lag
            if now + cost[look] < cost[here]:
                cost[here], following[here] = now + cost[look], look
        following[here] = following[here] or here + 1
    return PollPlan(
        ages_s=tuple(ages_s), following=tuple(following), alive=tuple(alive),
        cost_calls=cost[0], mean_s=moment[0] / alive[0] if alive[0] else 0.0,
    )  # fmt: skip


def cells(ages_s: Sequence[float], after_s: float | None, by_s: float) -> tuple[int, int]:
    """The cells of the grid that an end in `(after_s, by_s]` may lie in: first, and past the last.

    None: nobody looked before, so the job may have ended at once.
    """
    last = len(ages_s) - 2
    first = 0 if after_s is None else min(max(bisect_right(ages_s, after_s) - 1, 0), last)
    return first, min(max(bisect_left(ages_s, by_s), first + 1), last + 1)


def _sums_from(values: Sequence[float]) -> list[float]:
    """At each index the sum from there to the end, and a 0 after it."""
    return [*list(accumulate(reversed(values)))[::-1], 0.0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """Looks at growing intervals: at most `share` of a job's life is lost in waiting for a look.

    For jobs of which nothing is known. The first look is immediate. Growing with the age of a job
    keeps the number of calls logarithmic in its duration, where a fixed interval is either late
    or loud.
    """

    first_s: float = 0.0
    min_s: float = 0.1
    max_s: float = 5.0
    share: float = 0.25

    def delay_s(self, age_s: float, polls: int, *, jitter: float) -> float:
        """Seconds until the next look at a job of this age that was looked at `polls` times.

        `jitter` is a random number in [0, 1); it spreads jobs that were accepted together.
        """
        if polls == 0:
            return self.first_s
        step = min(max(self.min_s, age_s * self.share), self.max_s)
        return step * (0.85 + 0.3 * jitter)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverduePace:
    """Looks at a job that takes longer than every one before it.

    The intervals grow with the time that it is overdue: most stragglers are a little late, and
    few are very late.
    """

    min_s: float = 0.1
    max_s: float = 30.0
    share_of_overdue: float = 0.5
    share_of_age: float = 0.22

    def delay_s(self, age_s: float, overdue_s: float, *, jitter: float) -> float:
        """Seconds until the next look; never over `max_s` nor a quarter of the age."""
        step = max(overdue_s * self.share_of_overdue, age_s * 0.02)
        step = min(step, age_s * self.share_of_age, self.max_s / 1.15)
        return max(step, self.min_s) * (0.85 + 0.3 * jitter)
