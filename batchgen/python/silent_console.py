"""The console of a run inside another program: it prints nothing, and hands out jobs that ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchgen.app.console import Console, GuardedStream, ShownProgress
from batchgen.app.run_options import policy_of
from batchgen.core.events import AnswerLost, Cancelled, Event, Failed, Refused, Saved, Succeeded
from batchgen.core.plan import SUBMISSIONS, Policy, disposition
from batchgen.python.results import Job

if TYPE_CHECKING:
    from batchgen.core.lifecycle import JobRecord
    from batchgen.core.run_settings import RunSettings
    from batchgen.ports import Clock
    from batchgen.reports.progress import Tally
    from batchgen.system.run_directory import RunDirectory

_log = logging.getLogger("batchgen")
_log.addHandler(logging.NullHandler())  # without any handler, Python prints warnings on stderr

_ENDS = (AnswerLost, Cancelled, Failed, Refused, Saved)


class SilentConsole(Console):
    """Sends messages to the logger `batchgen`, and each job that has ended to `take`."""

    def __init__(self, take: Callable[[Job], None] | None = None) -> None:
        super().__init__(GuardedStream(None), GuardedStream(None))
        self._take = take
        self._policy = Policy()

    def configure(self, settings: RunSettings, clock: Clock) -> None:
        """Log as the settings say. Raises `LocalIOError` if the log file cannot be opened."""
        super().configure(settings, clock)
        self._policy = policy_of(settings)

    def say(self, text: str) -> None:
        """Log a message that is good to know."""
        self.log(text)
        _log.info(text)

    def insist(self, text: str) -> None:
        """Log a message that the user has to know."""
        self.log(text)
        _log.warning(text)

    def _shown_progress(
        self, tally: Tally, clock: Clock, directory: RunDirectory, *, is_dumb: bool
    ) -> ShownProgress:
        del tally, clock, is_dumb  # there is nothing to draw
        return EndedJobs(self._take or _drop, self._policy, directory)


class EndedJobs:
    """An observer that hands on each job of a run once, when it has ended (port `Observer`)."""

    def __init__(
        self, take: Callable[[Job], None], policy: Policy, directory: RunDirectory
    ) -> None:
        self._take, self._policy, self._directory = take, policy, directory
        self._to_be_tried_again: dict[str, Job] = {}
        self._ends = _ENDS if policy.download else (*_ENDS, Succeeded)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Hand on the job if it has ended with this event."""
        if not isinstance(event, self._ends):
            return
        ended = Job.of_record(record, self._directory)
        if disposition(record, self._policy, fingerprint=record.fingerprint) in SUBMISSIONS:
            self._to_be_tried_again[job] = ended
        else:
            self._to_be_tried_again.pop(job, None)
            self._take(ended)

    def on_note(self, text: str) -> None:
        """Log a sentence for the user."""
        _log.warning(text)

    def close(self) -> None:
        """Hand on what was to be tried again when the run ended."""
        for job in self._to_be_tried_again.values():
            self._take(job)
        self._to_be_tried_again.clear()


def _drop(job: Job) -> None:
    """Take a job that nobody waits for."""
