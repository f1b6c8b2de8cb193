"""How long a job of a model may be expected to take, for deciding whether there is time for one.

The longest of the last ends, not the mean: a job that is submitted too late is paid for and not
collected in this run.
"""

from __future__ import annotations

from collections import deque

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
