"""One shared pause for all submissions after the API turned one away."""

from __future__ import annotations

from collections.abc import Callable

from batchgen.core.retry import Backoff
from batchgen.ports import Clock


class Gate:
    """Closed for a while after a submission that was not accepted; longer each time in a row."""

    def __init__(self, clock: Clock, jitter: Callable[[], float], backoff: Backoff) -> None:
        self._clock = clock
        self._jitter = jitter
        self._backoff = backoff
        self._open_at_s = 0.0
        self._failures = 0

    @property
    def wait_s(self) -> float:
        """Seconds until submissions may go on; 0 when the gate is open."""
        return max(0.0, self._open_at_s - self._clock.monotonic_s())

    def turned_away(self, *, sent_at_s: float, retry_after_s: float | None) -> None:
        """Close the gate. What was sent before it last closed tells nothing new."""
        if sent_at_s >= self._open_at_s:
            self._failures += 1
        delay_s = self._backoff.delay_s(
            max(self._failures, 1), jitter=self._jitter(), retry_after_s=retry_after_s
        )
        self._open_at_s = max(self._open_at_s, self._clock.monotonic_s() + delay_s)

    def accepted(self) -> None:
        """The API takes jobs again."""
        self._failures = 0
