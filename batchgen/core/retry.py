"""How long to wait before a call is made again: from numbers to numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter above half of the step."""

    first_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0

    def delay_s(self, failures: int, *, jitter: float, retry_after_s: float | None = None) -> float:
        """Seconds to wait after `failures` failures in a row (from 1).

        `jitter` is a random number in [0, 1). What the server asks for with Retry-After is a
        lower bound, up to an hour.
        """
        step = self.first_s * self.factor ** min(max(failures, 1) - 1, 30)
        delay_s = min(step, self.max_s) * (0.5 + jitter / 2)
        return max(delay_s, min(retry_after_s, 3600.0)) if retry_after_s else delay_s
