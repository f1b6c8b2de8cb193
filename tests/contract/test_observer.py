"""The port `Observer`: no event and no note makes an observer raise."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Attached,
    Cancelled,
    Event,
    Failed,
    FilesLost,
    GivenUp,
    Granted,
    Intended,
    JobError,
    NotAccepted,
    OutputFile,
    Refused,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import TRANSITIONS, JobRecord, JobState
from batchgen.ports import Observer
from batchgen.reports.event_log import EventLog
from batchgen.reports.progress import BarProgress, LineProgress, Tally
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.fakes import Notes

ERROR = JobError(kind="generation", message="böse\nline \x1b[31m of a server")
FILE = OutputFile(path="outputs/a-1.png", bytes=1, sha256="0" * 64)

EVENTS: tuple[Event, ...] = (
    Intended(model=MODEL, input={"prompt": "Füchse"}, fingerprint="f"),
    Accepted(request_id="r1"),
    NotAccepted(error=ERROR),
    Refused(error=ERROR),
    AnswerLost(error=ERROR),
    Started(),
    Succeeded(outputs=("https://files.runcomfy.net/a.png",), cost_usd=0.03),
    Failed(error=ERROR),
    Cancelled(),
    Saved(files=(FILE,)),
    FilesLost(),
    Attached(request_id="r2"),
    GivenUp(),
    Granted(),
)

NOTES = ("a sentence", "", "two\nlines", "Füchse 🦊 \ud800", "100 % {braces}")


class HastyClock(SystemClock):
    """Each time it is asked, minutes have passed: every event is due to be shown."""

    asked = 0

    def monotonic_s(self) -> float:
        self.asked += 1
        return 100.0 * self.asked


@pytest.fixture(params=["fake", "lines", "quiet lines", "bar", "log", "json log", "log file"])
def observer(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Observer]:
    clock, tally = HastyClock(), Tally(total=2)
    match request.param:
        case "fake":
            yield Notes()
        case "lines" | "quiet lines" as kind:
            yield LineProgress(tally, clock, quiet=kind == "quiet lines", stream=io.StringIO())
        case "log" | "json log" as kind:
            yield EventLog(io.StringIO(), clock, as_json=kind == "json log")
        case "log file":
            log = EventLog.to_file(tmp_path / "run.log", clock)
            yield log
            log.close()
        case "bar":
            master, slave = pty.openpty()
            with os.fdopen(slave, "w", encoding="utf-8", errors="backslashreplace") as terminal:
                monkeypatch.setattr(sys, "stderr", terminal)
                bar = BarProgress(tally, clock, terminal)
                yield bar
                bar.close()
            os.close(master)


def test_the_events_here_are_all_there_are() -> None:
    """A new kind of event has to be tried on every observer."""
    kinds = {event for row in TRANSITIONS.values() for event in row}

    assert {type(event) for event in EVENTS} == kinds


def test_every_event_is_received_in_every_state(observer: Observer) -> None:
    """Also for a job that is not known, and more than once."""
    for state in JobState:
        record = JobRecord(ts="2026-11-26T02:00:00.000Z", job="a", state=state, error=ERROR)
        for event in EVENTS:
            observer.on_event("a", event, record)


def test_every_note_is_received(observer: Observer) -> None:
    """Whatever text a server or a manifest put into it."""
    for note in NOTES:
        observer.on_note(note)
