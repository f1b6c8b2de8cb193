"""When to look at a job again: from numbers to numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """Looks at growing intervals: at most `share` of a job's life is lost in waiting for a look.

    The first look is immediate. Growing with the age of a job keeps the number of calls
    logarithmic in its duration, where a fixed interval is either late or loud.
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
