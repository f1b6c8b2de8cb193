"""A rate of calls: when the next one may start. Virtual scheduling (GCRA), in numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Rate:
    """At most `per_s` calls a second, evenly spaced; None is no limit."""

    per_s: float | None
    _next_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Take the next place; seconds to wait for it from the monotonic time `now_s`."""
        if self.per_s is None:
            return 0.0
        start_s = max(now_s, self._next_s)
        self._next_s = start_s + 1 / self.per_s
        return start_s - now_s
