"""The progress of a run on stderr: what is printed, and how often."""

from __future__ import annotations

import io
import re

from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Event,
    Failed,
    Intended,
    JobError,
    NotAccepted,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.reports.progress import LineProgress, Tally
from tests.kit.time import LoopClock

ERROR = JobError(kind="k", message="m")
INTENT = Intended(model="a/b", input={}, fingerprint="f")
RECORD = JobRecord(ts="t", job="j", state=JobState.IN_QUEUE)


class SetClock(LoopClock):
    """A clock that a test sets."""

    moment_s = 0.0

    def monotonic_s(self) -> float:
        return self.moment_s


def counted(*events: Event, download: bool = True) -> Tally:
    """Count these events of one job."""
    tally = Tally(total=1, download=download)
    for event in events:
        tally.count("j", event)
    return tally


def test_a_job_is_counted_in_the_state_it_is_in() -> None:
    """One state at a time; a success ends with its files, or at once if no files are wanted."""
    done = Succeeded(outputs=("https://x/1",), cost_usd=0.5)

    assert counted(INTENT).phrase() == "1 queued"
    assert counted(INTENT, Accepted(request_id="r")).phrase() == "1 queued"
    assert counted(INTENT, Accepted(request_id="r"), Started()).phrase() == "1 running"
    assert counted(INTENT, NotAccepted(error=ERROR)).phrase() == ""
    assert counted(INTENT, AnswerLost(error=ERROR)).phrase() == "1 in doubt"
    assert counted(INTENT, Started(), Failed(error=ERROR)).phrase() == "1 failed"
    assert (counted(Started(), done).ended, counted(Started(), done).phrase()) == (0, "$0.50")
    assert counted(Started(), done, download=False).ended == 1
    assert counted(Started(), done, Saved(files=())).ended == 1


def printed(*, quiet: bool) -> list[str]:
    """Print the progress of 120 jobs, one per second, and one note."""
    clock, stream = SetClock(), io.StringIO()
    progress = LineProgress(Tally(total=240), clock, quiet=quiet, stream=stream)
    for second in range(120):
        clock.moment_s = 1.0 + second
        progress.on_event(f"j{second}", Saved(files=()), RECORD)
    progress.on_note("the disk is full")
    progress.close()
    return stream.getvalue().splitlines()


def test_a_line_a_minute_without_control_codes() -> None:
    """So that a mail from cron stays short."""
    first, second, note = printed(quiet=False)

    assert re.fullmatch(r"batchgen: 60 of 240 jobs, about [0-9a-z ]+ left", first)
    assert re.fullmatch(r"batchgen: 120 of 240 jobs, about [0-9a-z ]+ left", second)
    assert note == "batchgen: the disk is full"


def test_quiet_prints_what_the_user_should_know_only() -> None:
    """Nothing else: cron sends a mail for each line."""
    assert printed(quiet=True) == ["batchgen: the disk is full"]
