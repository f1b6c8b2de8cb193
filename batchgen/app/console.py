"""The console of a command: results on stdout, messages on stderr, and the log of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

import msgspec

from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.core.run_settings import RunSettings
from batchgen.ports import Clock
from batchgen.reports.event_log import EventLog
from batchgen.reports.progress import Progress, Tally, make_progress
from batchgen.reports.terminal import tame


class Console:
    """Prints results and messages; close it after use if it was given a log (`with`)."""

    def __init__(self) -> None:
        self.quiet = False
        self._log_file: EventLog | None = None
        self._json_log: EventLog | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log_file is not None:
            self._log_file.close()

    def configure(self, settings: RunSettings, clock: Clock) -> None:
        """Print and log as the settings say; again once the manifest that has some is read.

        Raises `LocalIOError` if the log file cannot be opened.
        """
        self.quiet = settings.quiet
        if settings.log_file:
            if self._log_file is None:
                self._log_file = EventLog.to_file(Path(settings.log_file), clock)
            self._log_file.as_json = settings.log_json
        elif settings.log_json:
            self._json_log = EventLog(sys.stderr, clock, as_json=True, notes_only=self.quiet)

    @property
    def logs_json(self) -> bool:
        """Whether stderr has JSON lines in place of messages."""
        return self._json_log is not None

    def say(self, text: str) -> None:
        """Print a message that is good to know; not with `--quiet`."""
        self.log(text)
        if not self.quiet:
            self._print(text)

    def insist(self, text: str) -> None:
        """Print a message that the user has to know, also with `--quiet`."""
        self.log(text)
        self._print(text)

    def log(self, text: str) -> None:
        """Write a message to the log file only."""
        if self._log_file is not None:
            self._log_file.on_note(text)

    def print_lines(self, *lines: str) -> None:
        """Print results on stdout."""
        for line in lines:
            print(line)

    def print_json(self, value: object) -> None:
        """Print results on stdout, as one line of JSON."""
        print(msgspec.json.encode(value).decode())

    def progress(self, tally: Tally, clock: Clock) -> RunObserver:
        """Return the observer that shows and logs what happens to the jobs of a run."""
        shown = self._json_log or make_progress(tally, clock, quiet=self.quiet)
        return RunObserver(shown, self._log_file)

    def _print(self, text: str) -> None:
        if self._json_log is not None:
            self._json_log.on_note(text)
        else:
            print(f"batchgen: {tame(text)}", file=sys.stderr, flush=True)


class RunObserver:
    """The progress on stderr and the log file as one (port `Observer`)."""

    def __init__(self, shown: EventLog | Progress, log: EventLog | None) -> None:
        self._shown = shown
        self._all = (shown,) if log is None else (shown, log)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Pass an event on to both."""
        for observer in self._all:
            observer.on_event(job, event, record)

    def on_note(self, text: str) -> None:
        """Pass a sentence on to both."""
        for observer in self._all:
            observer.on_note(text)

    def close(self) -> None:
        """Remove the progress; the log goes on to the end of the command."""
        self._shown.close()
