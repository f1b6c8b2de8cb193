"""What a run says to a person, on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

from batchgen.app.run_options import Flags
from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.ports import Clock
from batchgen.reports.event_log import EventLog
from batchgen.reports.progress import BarProgress, LineProgress, Tally, make_progress
from batchgen.system.clock import SystemClock


class Console:
    """What is said to a person, on stderr, and in the log; to be closed after use (`with`)."""

    def __init__(self, flags: Flags) -> None:
        """Raises `LocalIOError` where the log file cannot be opened."""
        self._quiet = flags.quiet
        self._file: EventLog | None = None
        self._stderr: EventLog | None = None
        if flags.log_file is not None:
            path = Path(flags.log_file)
            self._file = EventLog.to_file(path, SystemClock(), as_json=flags.log_json)
        elif flags.log_json:
            self._stderr = EventLog(sys.stderr, SystemClock(), as_json=True, notes_only=flags.quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def say(self, text: str) -> None:
        """Something that is good to know."""
        self.log(text)
        if not self._quiet:
            self._print(text)

    def insist(self, text: str) -> None:
        """Something that has to be known."""
        self.log(text)
        self._print(text)

    def log(self, text: str) -> None:
        """Something that is said elsewhere, or has been."""
        if self._file is not None:
            self._file.on_note(text)

    def progress(self, tally: Tally, clock: Clock) -> Observers:
        """Where the run says what happens."""
        shown = self._stderr or make_progress(tally, clock, quiet=self._quiet)
        return Observers(shown, self._file)

    def _print(self, text: str) -> None:
        if self._stderr is not None:
            self._stderr.on_note(text)
        else:
            print(f"batchgen: {text}", file=sys.stderr, flush=True)


class Observers:
    """The progress that is shown, and the log file, as one (port `Observer`)."""

    def __init__(self, shown: EventLog | LineProgress | BarProgress, log: EventLog | None) -> None:
        self._shown = shown
        self._log = log

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Tell both."""
        self._shown.on_event(job, event, record)
        if self._log is not None:
            self._log.on_event(job, event, record)

    def on_note(self, text: str) -> None:
        """Tell both."""
        self._shown.on_note(text)
        if self._log is not None:
            self._log.on_note(text)

    def close(self) -> None:
        """Put the progress away; the log goes on to the end of the command."""
        self._shown.close()
