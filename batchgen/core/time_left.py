"""The time that a batch still needs, by the pace of the jobs that ended last."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

RECENT_JOBS = 100
"""The pace is that of the last jobs, because a batch may be faster or slower than it was."""
RECENT_S = 600.0
"""A batch in which no job has ended for so long is not running, as far as its ledger tells."""


def time_left_s(
    ended_at_s: Iterable[float], left: int, *, now_s: float, begun_s: float | None = None
) -> float | None:
    """Return the seconds until `left` more jobs have ended, or None if nothing can be said.

    `ended_at_s` are the moments at which jobs ended. `begun_s` is when the run began that is
    active now, if that is known: then the time before its first end counts, and a long silence
    does not mean that it is over.
    """
    recent = heapq.nlargest(RECENT_JOBS, ended_at_s)
    if left <= 0 or not recent:
        return None
    since_s = recent[-1]
    if begun_s is None:
        if len(recent) < 2 or now_s - recent[0] > RECENT_S:
            return None
    elif len(recent) < RECENT_JOBS:
        since_s = begun_s
    return left * (max(now_s, recent[0]) - since_s) / len(recent)
