"""What a run says to a person, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Self

import msgspec

from batchgen.app.batch import Loaded
from batchgen.app.options import Flags
from batchgen.clock import SystemClock
from batchgen.core.endings import StopReason
from batchgen.core.errors import Interrupted, LockHeld, Terminated
from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.core.patience import Stance
from batchgen.core.plan import Disposition, Plan
from batchgen.core.quantities import count_text
from batchgen.eventlog import EventLog
from batchgen.ports import Clock
from batchgen.progress import BarProgress, LineProgress, Tally, make_progress


class Talk:
    """What is said to a person, on stderr, and in the log; to be closed after use (`with`)."""

    def __init__(self, flags: Flags) -> None:
        """Raises `LocalIOError` where the log file cannot be opened."""
        self._quiet = flags.quiet
        self._file: EventLog | None = None
        self._stderr: EventLog | None = None
        if flags.log_file is not None:
            path = flags.log_file
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


def plan_sentence(plan: Plan, loaded: Loaded) -> str:
    """`44 jobs: 40 new, 3 in flight, 1 done`."""
    groups = ", ".join(plan.sentences())
    wrong = loaded.spool.invalid
    left_out = f"; {count_text(wrong, 'wrong row')} left out" if wrong else ""
    return f"{count_text(plan.jobs, 'job')}: {groups}{left_out}"


def plan_table(plan: Plan) -> Iterator[str]:
    """One line for each group: what it is, how many, what it is expected to cost."""
    for kind in Disposition:
        if count := plan.counts[kind]:
            cost = plan.cost_usd.get(kind)
            price = f"  ${cost:,.2f}" if cost else ""
            yield f"  {kind.value:<28}{count:>9,}{price}"
    for kind in Disposition:
        if count := plan.removed[kind]:
            yield f"  no row any more, {kind.value:<11}{count:>9,}"


def plan_json(plan: Plan) -> dict[str, object]:
    """The plan for a program."""
    return {
        "jobs": plan.jobs,
        "submissions": plan.submissions,
        "cost_usd": round(plan.total_cost_usd, 6),
        "unpriced": plan.unpriced,
        "groups": {
            kind.name.lower(): {"jobs": count, "cost_usd": round(plan.cost_usd.get(kind, 0.0), 6)}
            for kind, count in plan.counts.items()
        },
        "removed": {kind.name.lower(): count for kind, count in plan.removed.items()},
    }


IN_USE = "run directory in use"
SKIPPED = "skipped"


def turned_away(error: LockHeld | Interrupted | Terminated, flags: Flags, talk: Talk) -> int:
    """Say why the run did not even begin; the exit code."""
    code, text = error.exit_code, str(error)
    reasons = [IN_USE]
    if isinstance(error, Interrupted):
        reasons = [StopReason.SIGINT.value]
    elif isinstance(error, Terminated):
        reasons = [StopReason.SIGTERM.value]
    elif flags.if_locked.stance is Stance.SKIP:
        code, text = flags.if_locked.skip_code, f"skipped, nothing was done: {error}"
        reasons = [SKIPPED, IN_USE]
    if flags.json:
        print(msgspec.json.encode({"exit_code": code, "reasons": reasons}).decode())
    speak = talk.say if code == 0 else talk.insist
    speak(text)
    return code
