"""When to look at a job again: from numbers to numbers."""

from __future__ import annotations

from dataclasses import dataclass


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

    def delay_s(self, age_s: float, looks: int, *, jitter: float) -> float:
        """Seconds until the next look at a job of this age that was looked at `looks` times.

        `jitter` is a random number in [0, 1); it spreads jobs that were accepted together.
        """
        if looks == 0:
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
