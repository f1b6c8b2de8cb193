"""What a person or a log sees while a run goes on: observers of events.

On a terminal one bar; elsewhere plain lines without control codes, at most one a minute, so that
a cron mail can be read; in quiet nothing but problems. All of it goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never, TextIO

from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Cancelled,
    Event,
    Failed,
    Intended,
    NotAccepted,
    Refused,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import JobRecord
from batchgen.core.summary import RECENT_JOBS, time_left_s
from batchgen.core.units import duration_text
from batchgen.ports import Clock

if TYPE_CHECKING:
    from tqdm import tqdm


LINE_INTERVAL_S = 60.0
BAR_INTERVAL_S = 0.1


@dataclass(slots=True, kw_only=True)
class Tally:
    """Where the jobs of this run are now."""

    total: int
    """Jobs that this run has to bring to an end."""
    done: int = 0
    failed: int = 0
    in_doubt: int = 0
    cost_usd: float = 0.0
    download: bool = True
    limited_by: Callable[[], str] = lambda: ""
    """What limits the speed now; asked when a line or a bar is drawn."""
    queued: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def count(self, job: str, event: Event) -> None:
        """Move one job."""
        self.queued.discard(job)
        match event:
            case Intended() | Accepted():
                self.queued.add(job)
            case Started():
                self.running.add(job)
            case Refused() | Failed() | Cancelled():
                self.failed += 1
            case AnswerLost():
                self.in_doubt += 1
            case Succeeded():
                self.done += not self.download
            case Saved():
                self.done += 1
            case NotAccepted():
                pass
        if not isinstance(event, Started):
            self.running.discard(job)
        self.cost_usd += getattr(event, "cost_usd", None) or 0.0

    @property
    def ended(self) -> int:
        """Jobs that are no longer waited for."""
        return self.done + self.failed + self.in_doubt

    def phrase(self) -> str:
        """The parts that are not zero, in the order of a job's life."""
        parts = [
            f"{count:,} {name}"
            for name, count in (
                ("queued", len(self.queued)),
                ("running", len(self.running)),
                ("failed", self.failed),
                ("in doubt", self.in_doubt),
            )
            if count
        ]  # fmt: skip
        if self.cost_usd:
            parts.append(f"${self.cost_usd:,.2f}")
        if limit := self.limited_by():
            parts.append(f"limit: {limit}")
        return ", ".join(parts)


class LineProgress:
    """Plain lines (port `Observer`)."""

    def __init__(self, tally: Tally, clock: Clock, *, quiet: bool, stream: TextIO | None = None):
        self._tally = tally
        self._clock = clock
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._begun_s = self._said_s = clock.monotonic_s()
        self._ended_at_s: deque[float] = deque(maxlen=RECENT_JOBS)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Count; say where the run is once a minute."""
        del record
        now_s = self._clock.monotonic_s()
        ended = self._tally.ended
        self._tally.count(job, event)
        self._ended_at_s.extend([now_s] * (self._tally.ended - ended))
        if now_s - self._said_s >= LINE_INTERVAL_S and not self._quiet:
            self._said_s = now_s
            self._print(self._line(now_s))

    def on_note(self, text: str) -> None:
        """Notes are for every mode: they are what a person should know."""
        self._print(text)

    def close(self) -> None:
        """Nothing to put away."""

    def _line(self, now_s: float) -> str:
        tally = self._tally
        rest = f" ({tally.phrase()})" if tally.phrase() else ""
        left_s = time_left_s(
            self._ended_at_s, tally.total - tally.ended, now_s=now_s, begun_s=self._begun_s
        )
        eta = "" if left_s is None else f", about {duration_text(left_s)} left"
        return f"{tally.ended:,} of {tally.total:,} jobs{rest}{eta}"

    def _print(self, text: str) -> None:
        print(f"batchgen: {text}", file=self._stream, flush=True)


class BarProgress:
    """A tqdm bar on a terminal (port `Observer`)."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        from tqdm import tqdm

        self._tally = tally
        self._clock = clock
        self._drawn_s = clock.monotonic_s()
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
        self._bar: tqdm[Never] = tqdm(
            total=tally.total,
            unit="job",
            smoothing=0.05,
            dynamic_ncols=known,
            ncols=None if known else 80,  # a terminal that does not know its size gets a usual one
            nrows=None if known else 24,
        )

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Count; draw a few times a second at most."""
        del record
        self._tally.count(job, event)
        now_s = self._clock.monotonic_s()
        if now_s - self._drawn_s >= BAR_INTERVAL_S:
            self._drawn_s = now_s
            self._draw()

    def on_note(self, text: str) -> None:
        """Above the bar, so that it stays readable."""
        self._bar.write(f"batchgen: {text}", file=sys.stderr)

    def close(self) -> None:
        """Draw the last state and leave it."""
        self._draw()
        self._bar.close()

    def _draw(self) -> None:
        self._bar.n = self._tally.ended
        self._bar.set_postfix_str(self._tally.phrase(), refresh=False)
        self._bar.refresh()


def make_progress(tally: Tally, clock: Clock, *, quiet: bool) -> LineProgress | BarProgress:
    """A bar where a person looks, lines where a program does."""
    if not quiet and sys.stderr.isatty():
        return BarProgress(tally, clock)
    return LineProgress(tally, clock, quiet=quiet)
