"""How long what is left may take, from how fast jobs ended lately. In numbers only."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

LATELY_JOBS = 100
LATELY_S = 600.0
"""A batch whose last job ended longer ago is not running, and has no ETA."""


def eta_s(ended_at_s: Iterable[float], left: int, *, now_s: float) -> float | None:
    """Seconds until `left` more jobs have ended; None where nothing can be said.

    `ended_at_s` are the moments, in seconds since 1970, at which jobs ended so far.
    """
    last = heapq.nlargest(LATELY_JOBS, ended_at_s)
    if left <= 0 or len(last) < 2 or now_s - last[0] > LATELY_S:
        return None
    return left * (max(now_s, last[0]) - last[-1]) / len(last)
