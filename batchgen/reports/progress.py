"""The progress of a run: observers of its events that write to a stream.

On a terminal it is a bar; elsewhere plain lines without control codes, at most one per minute, so
that a mail from cron can be read; with `--quiet` nothing but problems.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Never, cast

from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Cancelled,
    Event,
    Failed,
    Intended,
    Refused,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import JobRecord
from batchgen.core.time_left import RECENT_JOBS, time_left_s
from batchgen.core.units import duration_text, seconds
from batchgen.reports.terminal import TextStream, tame

if TYPE_CHECKING:
    from tqdm import tqdm

    from batchgen.ports import Clock


_BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {pace}{postfix}]"
TICK_S = 1.0
LINE_INTERVAL_S = 60.0
BAR_INTERVAL_S = 0.1


@dataclass(slots=True, kw_only=True)
class Tally:
    """The number of jobs of this run in each state."""

    total: int
    """Jobs that this run has to bring to an end."""
    done: int = 0
    failed: int = 0
    in_doubt: int = 0
    cost_usd: float = 0.0
    download: bool = True
    limited_by: Callable[[], str] = lambda: ""
    """Tells what limits the speed now; called when a line or a bar is drawn."""
    queued: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def count(self, job: str, event: Event) -> None:
        """Count what happened to a job."""
        self.queued.discard(job)
        if not isinstance(event, Started):
            self.running.discard(job)
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
        self.cost_usd += getattr(event, "cost_usd", None) or 0.0

    @property
    def ended(self) -> int:
        """Jobs that this run does not wait for any more."""
        return self.done + self.failed + self.in_doubt

    def phrase(self) -> str:
        """Return the parts that are not zero, in the order of a job's life."""
        counts = {
            "queued": len(self.queued),
            "running": len(self.running),
            "failed": self.failed,
            "in doubt": self.in_doubt,
        }
        parts = [f"{count:,} {name}" for name, count in counts.items() if count]
        if self.cost_usd:
            parts.append(f"${self.cost_usd:,.2f}")
        if limit := self.limited_by():
            parts.append(f"limit: {limit}")
        return ", ".join(parts)


class Progress:
    """An observer that counts every event, and shows the counts at intervals (port `Observer`)."""

    moves = False
    """Whether it shows that time passes, also if nothing happens."""

    def __init__(
        self, tally: Tally, clock: Clock, interval_s: float, *, names_jobs: bool = False
    ) -> None:
        """With `names_jobs` each job that has ended gets a line."""
        self._names_jobs = names_jobs
        self._tally = tally
        self._clock = clock
        self._interval_s = interval_s
        self._begun_s = self._shown_at_s = clock.monotonic_s()
        self._ended_at_s: deque[float] = deque(maxlen=RECENT_JOBS)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Count the event."""
        if self._names_jobs and (line := _job_line(event, record, download=self._tally.download)):
            self.on_note(line)
        now_s = self._clock.monotonic_s()
        ended = self._tally.ended
        self._tally.count(job, event)
        self._ended_at_s.extend([now_s] * (self._tally.ended - ended))
        if now_s - self._shown_at_s >= self._interval_s:
            self._shown_at_s = now_s
            self._show()

    def on_note(self, text: str) -> None:
        """Print a sentence, also with `--quiet`: the user should know it."""
        raise NotImplementedError

    def close(self) -> None:
        """Show the last state."""

    def tick(self) -> None:
        """Show that time passes; called once a second by those that `moves`."""

    def _show(self) -> None:
        raise NotImplementedError


class LineProgress(Progress):
    """Plain lines, at most one per minute."""

    def __init__(
        self,
        tally: Tally,
        clock: Clock,
        *,
        quiet: bool,
        stream: TextStream,
        names_jobs: bool = False,
    ):
        super().__init__(tally, clock, LINE_INTERVAL_S, names_jobs=names_jobs)
        self._quiet = quiet
        self._stream = stream

    def on_note(self, text: str) -> None:
        """Print a line."""
        self._stream.write(f"batchgen: {tame(text)}\n")
        self._stream.flush()

    def _show(self) -> None:
        if self._quiet:
            return
        tally = self._tally
        phrase = f" ({tally.phrase()})" if tally.phrase() else ""
        left_s = time_left_s(
            self._ended_at_s,
            tally.total - tally.ended,
            now_s=self._shown_at_s,
            begun_s=self._begun_s,
        )
        eta = "" if left_s is None else f", about {duration_text(left_s)} left"
        self.on_note(f"{tally.ended:,} of {tally.total:,} jobs{phrase}{eta}")


class BarProgress(Progress):
    """A tqdm bar on a terminal."""

    moves = True

    def __init__(
        self, tally: Tally, clock: Clock, stream: TextStream, *, names_jobs: bool = False
    ) -> None:
        from tqdm import tqdm

        class Bar(tqdm):  # type: ignore[type-arg]  # it is generic in its stubs only
            """A bar that says how many jobs end per second or per minute."""

            @property
            def format_dict(self) -> dict[str, Any]:
                known = super().format_dict
                return {**known, "pace": pace_text(known["n"], known["elapsed"])}

        super().__init__(tally, clock, BAR_INTERVAL_S, names_jobs=names_jobs)
        is_size_known = _columns(stream) > 0
        self._stream = cast("IO[str]", stream)
        self._bar: tqdm[Never] = Bar(
            total=tally.total,
            bar_format=_BAR_FORMAT,
            file=self._stream,
            unit="job",
            smoothing=0.05,
            dynamic_ncols=is_size_known,
            ncols=None if is_size_known else 80,
            nrows=None if is_size_known else 24,
        )

    def on_note(self, text: str) -> None:
        """Print above the bar, so that the bar stays readable."""
        self._bar.write(f"batchgen: {tame(text)}", file=self._stream)

    def tick(self) -> None:
        """Draw the bar again: the time that has passed is part of it."""
        self._show()

    def close(self) -> None:
        """Draw the last state and leave it on the terminal."""
        self._show()
        self._bar.close()

    def _show(self) -> None:
        self._bar.n = self._tally.ended
        self._bar.set_postfix_str(self._tally.phrase(), refresh=False)
        self._bar.refresh()


def _columns(stream: TextStream) -> int:
    """Return the width of a terminal; 0 if it does not know it, or has just gone away."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0


def make_progress(
    tally: Tally,
    clock: Clock,
    stream: TextStream,
    *,
    quiet: bool,
    is_dumb: bool = False,
    names_jobs: bool = False,
) -> Progress:
    """Return a bar if the stream is a terminal that can draw one, lines otherwise.

    With `names_jobs` each job that has ended gets a line, unless it is `quiet`.
    """
    names_jobs = names_jobs and not quiet
    if not quiet and not is_dumb and stream.isatty():
        return BarProgress(tally, clock, stream, names_jobs=names_jobs)
    return LineProgress(tally, clock, quiet=quiet, stream=stream, names_jobs=names_jobs)


def pace_text(ended: int, elapsed_s: float) -> str:
    """Return `12 jobs/s`, or `8.0 jobs/min` for fewer than one a second."""
    if not ended or elapsed_s <= 0:
        return "- jobs/min"
    per_s = ended / elapsed_s
    amount, unit = (per_s, "s") if per_s >= 1 else (per_s * 60, "min")
    return f"{amount:,.0f} jobs/{unit}" if amount >= 10 else f"{amount:.1f} jobs/{unit}"


def _job_line(event: Event, record: JobRecord, *, download: bool) -> str:
    """Return a line about a job that has ended with this event; empty for any other event."""
    ends = (Saved, Failed, Refused, Cancelled, AnswerLost, *(() if download else (Succeeded,)))
    if not isinstance(event, ends):
        return ""
    began_s, ended_s = seconds(record.submitted_at), seconds(record.finished_at or record.ts)
    took = ""
    if began_s is not None and ended_s is not None and ended_s >= began_s:
        took = f" after {duration_text(ended_s - began_s)}"
    cost = f", ${record.total_cost_usd:,.2f}" if record.total_cost_usd else ""
    error = f": {record.error.kind}: {record.error.message}" if record.error else ""
    files = f": {', '.join(file.path for file in record.files)}" if record.files else ""
    return f"{record.job}: {record.state.value.replace('_', ' ')}{took}{cost}{error or files}"
