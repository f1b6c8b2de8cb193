"""The timeline of a batch: how many jobs were queued, running, done and failed at each moment.

It is about the last stretch of work: after a pause of some hours another night begins, and a page
that shows both would show two lines at its edges.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

import msgspec

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.units import seconds

PAUSE_S = 3 * 3600.0
"""A longer time without any line begins another stretch."""
POINTS = 120
SUBMITTED, QUEUED, RUNNING, DONE, FAILED = "submitted", "queued", "running", "done", "failed"
_KINDS = {
    JobState.SUBMITTING: QUEUED, JobState.IN_QUEUE: QUEUED, JobState.IN_PROGRESS: RUNNING,
    JobState.COMPLETED: DONE, JobState.DOWNLOADED: DONE, JobState.FAILED: FAILED,
    JobState.CANCELLED: FAILED, JobState.IN_DOUBT: FAILED,
}  # fmt: skip


class TimelineChart(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the drawing: of jobs, at evenly spaced moments from begin to end."""

    begin_s: float
    """In seconds since 1970, like `end_s` and the outages."""
    end_s: float
    submitted: list[int]
    """Since the begin, as `done` and `failed`; the other two are those at that moment."""
    queued: list[int]
    running: list[int]
    done: list[int]
    failed: list[int]
    outages: list[tuple[float, float]]


class Timeline:
    """Collects what happened, line by line of a ledger."""

    def __init__(self) -> None:
        self._kind_of: dict[str, str] = {}
        self._open = Counter({QUEUED: 0, RUNNING: 0})
        """Jobs that are queued or running now; a stretch begins with those of the last one."""
        self._ended: Counter[str] = Counter()
        self._at_s = array("d")
        self._counts = {name: array("l") for name in (SUBMITTED, QUEUED, RUNNING, DONE, FAILED)}

    def take(self, record: JobRecord) -> None:
        """Take the next line."""
        at_s = seconds(record.ts)
        if at_s is None or record.adopted_by is not None:
            return
        if self._at_s and at_s - self._at_s[-1] > PAUSE_S:
            self._begin_stretch()
        before = self._kind_of.pop(record.job, "")
        kind = _KINDS.get(record.state, "")
        if kind:
            self._kind_of[record.job] = kind
        self._open[before] -= 1
        self._open[kind] += 1
        if record.state is JobState.SUBMITTING:
            self._ended[SUBMITTED] += 1
        if kind in (DONE, FAILED) and kind != before:
            self._ended[kind] += 1
        self._note(at_s)

    def _begin_stretch(self) -> None:
        self._at_s = array("d")
        self._counts = {name: array("l") for name in self._counts}
        self._ended.clear()

    def _note(self, at_s: float) -> None:
        # A clock that was set back would draw a line backwards.
        self._at_s.append(max(at_s, self._at_s[-1]) if self._at_s else at_s)
        for name, counts in self._counts.items():
            counts.append(self._open[name] if name in (QUEUED, RUNNING) else self._ended[name])

    def chart(self, outages: Iterable[tuple[float, float]] = ()) -> TimelineChart | None:
        """Return what is drawn; None if there is nothing to see."""
        if len(self._at_s) < 2 or self._at_s[-1] <= self._at_s[0]:
            return None
        begin_s, end_s = self._at_s[0], self._at_s[-1]
        step_s = (end_s - begin_s) / POINTS
        # The last point is the end itself, whatever the sums of floats say.
        moments = (*(begin_s + n * step_s for n in range(POINTS)), end_s)
        places = [bisect_right(self._at_s, at_s) - 1 for at_s in moments]
        lines = {name: [counts[n] for n in places] for name, counts in self._counts.items()}
        seen = [
            (max(from_s, begin_s), min(to_s, end_s))
            for from_s, to_s in outages
            if from_s < end_s and to_s > begin_s
        ]
        return TimelineChart(begin_s=begin_s, end_s=end_s, outages=seen, **lines)
