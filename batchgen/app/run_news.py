"""The news of one command `run`: what it tells the outside when it begins and when it ends.

It also appends the history line of a run that ended with an error before it could report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.result_rows import summary_of
from batchgen.app.run_end import Comparison, RunEnd
from batchgen.app.signals import SignalExit
from batchgen.core.errors import BatchgenError, LockHeld, TokenMissing
from batchgen.core.exit_codes import INTERNAL_ERROR
from batchgen.core.history import jobs_by_state
from batchgen.core.run_settings import news_targets
from batchgen.core.units import duration_text
from batchgen.ledger.history_file import last_run
from batchgen.ledger.replay import replay
from batchgen.reports.status_text import status_lines

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext
    from batchgen.app.run_options import RunRequest
    from batchgen.core.run_settings import RunSettings
    from batchgen.news.targets import NewsTargets, RunNews
    from batchgen.system.run_directory import RunDirectory

AFTER_SIGNAL_S = 4.5
"""A signal ends a run within 5 s, news included."""
_LEAST_S = 0.3
_MAX_LINES = 12


@dataclass(slots=True, kw_only=True)
class CommandNews:
    """The news of one command; each of its runs adds its end to `ends`."""

    ref: BatchRef
    context: CommandContext
    targets: NewsTargets | None
    """None: nobody is told anything."""
    ends: list[tuple[RunDirectory, RunEnd]] = field(default_factory=list)
    signalled_at_s: float | None = None
    """The monotonic time of a signal that ended the run."""
    _begun_s: float = 0.0
    _text: str = ""
    _code: int = INTERNAL_ERROR

    @classmethod
    def of(cls, ref: BatchRef, request: RunRequest, context: CommandContext) -> CommandNews:
        """Return the news of a command; a dry run tells nobody."""
        found = news_targets(request.flags, context.environment)
        targets = None
        if any(found.values()) and not request.flags.get("dry_run"):
            from batchgen.news.targets import NewsTargets  # loads aiohttp

            targets = NewsTargets(
                ping=found["ping"], notify=found["notify"],
                metrics_file=found["metrics_file"], notify_on=request.settings(None).notify_on,
                say=context.console.insist, monotonic_s=context.clock.monotonic_s,
            )  # fmt: skip
            with suppress(TokenMissing):
                targets.redact = context.token().redact
        return cls(ref=ref, context=context, targets=targets)

    @contextmanager
    def told(self) -> Iterator[CommandNews]:
        """Tell the beginning, and at the end of the block how the command ended."""
        self._begun_s = self.context.clock.now_s()
        if self.targets is not None:
            self.targets.begin()
        code = INTERNAL_ERROR
        try:
            yield self
            code = self._code
        except BatchgenError as error:
            code, self._text = error.exit_code, str(error)
            raise
        except SignalExit as end:
            self.signalled_at_s = self.context.clock.monotonic_s()
            code, self._text = end.error.exit_code, str(end.error)
            raise
        finally:
            self._tell(code)

    def configure(self, settings: RunSettings) -> None:
        """Follow the settings of the manifest, once it was read."""
        if self.targets is not None:
            self.targets.notify_on = settings.notify_on

    def ended_with(self, code: int, text: str = "") -> int:
        """Note the exit code of the command, and return it."""
        self._code, self._text = code, text or self._text
        return code

    def _tell(self, code: int) -> None:
        if self.targets is None:
            return
        left_s = self._left_s()
        self.targets.end(self._news(code), **({} if left_s is None else {"left_s": left_s}))

    def _left_s(self) -> float | None:
        if self.signalled_at_s is None:
            return None
        passed_s = self.context.clock.monotonic_s() - self.signalled_at_s
        return max(_LEAST_S, AFTER_SIGNAL_S - passed_s)

    def _news(self, code: int) -> RunNews:
        from batchgen.news.metrics_file import RunMetrics
        from batchgen.news.targets import RunNews

        now_s = self.context.clock.now_s()
        directory, end = self.ends[-1] if self.ends else (None, None)
        name = self.ref.shown
        metrics = RunMetrics(
            manifest=name, exit_code=code, run_seconds=now_s - self._begun_s, ended_s=now_s,
            jobs=None if end is None else jobs_by_state(end.summary),
            cost_usd=None if end is None else round(end.summary.cost_usd, 6),
        )  # fmt: skip
        lines = (self._first_line(code, now_s), *self._text.splitlines()[:_MAX_LINES])
        for one, its_end in self.ends:
            lines += (
                its_end.sentence,
                *status_lines(
                    its_end.summary, one.path, now_s=now_s, serve=self.ref.command_line("serve")
                ),
            )
        return RunNews(
            title=f"batchgen {Path(name).name}: {_outcome(code)}", lines=lines, metrics=metrics,
            picture=lambda: None if directory is None else self._picture(directory),
        )  # fmt: skip

    def _first_line(self, code: int, now_s: float) -> str:
        reasons = dict.fromkeys(reason for _, end in self.ends for reason in end.reasons)
        why = f" ({', '.join(reasons)})" if reasons and code else ""
        took = duration_text(max(0.0, now_s - self._begun_s))
        return f"{self.ref.shown}: {_outcome(code)}{why} after {took}"

    def _picture(self, directory: RunDirectory) -> Path | None:
        """Make the contact sheet of a run that was not interrupted."""
        if self.signalled_at_s is not None:
            return None
        with suppress(BatchgenError), read_snapshot(self.ref, self.context) as snapshot:
            if snapshot.directory == directory:
                directory.thumbnails.mkdir(exist_ok=True)
                if snapshot.write_contact_sheet(directory.contact_sheet):
                    return directory.contact_sheet
        return None

    def add_failed_run(self, error: BatchgenError) -> None:
        """Add the end of a run that could not report, and append it to the history.

        Nothing is added if another run is active, or in a directory in which no run ever began.
        """
        if isinstance(error, LockHeld) or self.ends:
            return
        with suppress(BatchgenError):
            directory, end = self._failed_end(error)
            if directory.has_ledger:
                self.ends.append((directory, end))
                end.remember(directory)

    def _failed_end(self, error: BatchgenError) -> tuple[RunDirectory, RunEnd]:
        with read_snapshot(self.ref, self.context) as snapshot:
            directory = snapshot.directory
            past = last_run(directory)
            comparison = Comparison(begun_s=self._begun_s, past=past)
            if past is not None:
                ledger = replay(directory.ledger, since=past.ended)
                comparison.state_then = ledger.index.state_then
            summary = summary_of(comparison.counted(snapshot.rows()))
        now_s = self.context.clock.now_s()
        return directory, RunEnd(
            summary=summary, sentence=comparison.text(summary, now_s=now_s),
            changes=comparison.changes, code=error.exit_code, reasons=(error.reason,),
            begun_s=self._begun_s, ended_s=now_s,
        )  # fmt: skip


def _outcome(code: int) -> str:
    return "done" if code == 0 else f"exit code {code}"
