"""The report of a run: its plan before, its results, summary and exit code after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.app.api_wait import unreachable_text
from batchgen.app.command_context import CommandContext
from batchgen.app.edited_results import keep_edited, note_written
from batchgen.app.result_files import WORKBOOK_S, write_result_files
from batchgen.app.result_rows import rows_of_batch, summary_of
from batchgen.app.run_end import Comparison, RunEnd
from batchgen.core.errors import WORSE_THAN_NO_MANIFEST
from batchgen.core.exit_codes import exit_code, reason_texts
from batchgen.core.plan import Plan
from batchgen.core.reviews import seed_sentence
from batchgen.core.stop_reasons import SIGNALS, StopReason
from batchgen.core.summary import Summary
from batchgen.core.units import count_text, timestamp
from batchgen.reports.plan_text import plan_json, plan_sentence, plan_table, price_sentence
from batchgen.reports.results_csv import ResultRow
from batchgen.reports.status_text import status_lines, summary_json
from batchgen.runner.runner import Outcome
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.loading import LoadedBatch
    from batchgen.core.errors import BatchgenError
    from batchgen.core.lifecycle import Records

_ADVICE = {
    StopReason.TOKEN: "get a token at runcomfy.com (profile) and set RUNCOMFY_TOKEN; then ",
    StopReason.DISK: "when that is repaired, ",
    StopReason.BUDGET: "raise --max-cost, or wait for the next day or month; then ",
    StopReason.BALANCE: "add balance at runcomfy.com; then ",
}
"""What the user can do before resuming, for the first of these reasons that applies."""

HURRIED_S = 1.0
"""Time for thumbnails after a signal, which ends a run within 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything that a run tells the user about its jobs."""

    context: CommandContext
    directory: RunDirectory
    loaded: LoadedBatch
    records: Records
    command_line: str
    serve_line: str
    """The command that shows the page."""
    as_json: bool
    comparison: Comparison
    refused: BatchgenError | None = None
    """Why nothing was submitted although the run has collected what was in flight."""
    begun_with: frozenset[str] | None = None
    """The rows of today that count in a directory which an earlier manifest began; None: all."""

    def say_plan(self, plan: Plan) -> None:
        """Print what the run is going to do, and what that is expected to cost."""
        self.context.console.say(self._plan_sentence(plan))
        for sentence in filter(None, (price_sentence(plan), _seeds(plan), *self._shard())):
            self.context.console.say(sentence)

    def show_plan(self, plan: Plan, balance: Callable[[], str]) -> None:
        """Print the plan of a dry run as the result of the command; `balance` asks the API."""
        console = self.context.console
        if self.as_json:
            console.print_json(plan_json(plan))
            for sentence in filter(None, (_seeds(plan), *self._shard())):
                console.say(sentence)
            return
        console.print_lines(
            self._plan_sentence(plan),
            *plan_table(plan),
            *filter(None, (price_sentence(plan), _seeds(plan), balance(), *self._shard())),
            "nothing was submitted (dry run)",
        )

    def say_nothing_to_do(self, plan: Plan, *, retry: bool) -> RunEnd:
        """Say so, and return how the run ended; a directory without a ledger stays as it is."""
        code = exit_code((), plan, invalid=self.loaded.spool.invalid)
        sentence = "nothing to retry" if retry else f"{self._plan_sentence(plan)}; nothing to do"
        self.context.console.say(sentence)
        end = self._run_end(summary_of(self._rows()), code, ())
        if self.as_json:
            self.context.console.print_json(
                summary_json(end.summary, code, end.reasons, end.changes)
            )
        if self.directory.has_ledger:
            self._remember(end)
        return end

    def end(self, final: Plan, outcome: Outcome) -> RunEnd:
        """Write the results, print the summary, and return how the run ended.

        `final` is the plan for the selected jobs after the run.
        """
        console = self.context.console
        for model, why in outcome.stopped_models.items():
            console.insist(f"{model}: no more submissions in this run: {why}")
        breaker = (StopReason.BREAKER,) if outcome.stopped_models else ()
        defect = (StopReason.DEFECT,) if outcome.left_alone else ()
        budget = (StopReason.BUDGET,) if outcome.full_budgets else ()
        reasons = list(dict.fromkeys((*outcome.reasons, *breaker, *budget, *defect)))
        code = exit_code(reasons, final, invalid=self.loaded.spool.invalid)
        if self.refused is not None:
            code = code if code in WORSE_THAN_NO_MANIFEST else self.refused.exit_code
            console.insist(f"{self.refused}; {_collected(final.work_left)}")
        if StopReason.UNREACHABLE in reasons:
            origin, environment = self.context.api.origin, self.context.environment
            console.insist(unreachable_text(origin, outcome.silence, environment))
        if outcome.failure is not None:
            console.insist(str(outcome.failure))
        is_hurried = any(reason in SIGNALS for reason in reasons)
        summary = (
            self._write_result_files(is_hurried, outcome.outages)
            if outcome.failure is None
            else None
        )
        end = self._run_end(summary or summary_of(self._rows()), code, reasons, outcome.outages)
        self._say_summary(end)
        self._remember(end)
        if code not in (0, 1):
            console.insist(self._how_to_resume(reasons, left=final.work_left))
        return end

    def _run_end(
        self,
        summary: Summary,
        code: int,
        reasons: Sequence[StopReason],
        outages: tuple[tuple[float, float], ...] = (),
    ) -> RunEnd:
        now_s = self.context.clock.now_s()
        sentence = self.comparison.text(summary, now_s=now_s)
        return RunEnd(
            summary=summary, changes=self.comparison.changes, sentence=sentence, code=code,
            reasons=tuple(self._reasons(reasons, code)), begun_s=self.comparison.begun_s,
            ended_s=now_s, outages=outages,
        )  # fmt: skip

    def _reasons(self, reasons: Sequence[StopReason], code: int) -> list[str]:
        refused = [] if self.refused is None else [self.refused.reason]
        return refused + reason_texts(reasons, 0 if refused else code)

    def _remember(self, end: RunEnd) -> None:
        if why := end.remember(self.directory):
            self.context.console.insist(why)

    def _say_summary(self, end: RunEnd) -> None:
        console, summary = self.context.console, end.summary
        if self.as_json:
            console.print_json(summary_json(summary, end.code, end.reasons, end.changes))
        speak = console.say if end.code == 0 else console.insist
        speak(end.sentence)
        for line in status_lines(
            summary, self.directory.path, now_s=end.ended_s, serve=self.serve_line
        ):
            speak(line)

    def _shard(self) -> tuple[str, ...]:
        """Return what the plan of a part must say about itself."""
        shard = self.loaded.manifest.shard
        if shard is None:
            return ()
        alone = f"shard {shard}: budgets and limits count for this shard alone"
        return (alone, self.loaded.nameless.text())

    def _plan_sentence(self, plan: Plan) -> str:
        return plan_sentence(plan, invalid=self.loaded.spool.invalid)

    def _write_result_files(
        self, is_hurried: bool, outages: tuple[tuple[float, float], ...]
    ) -> Summary:
        clock, begun_s = self.context.clock, self.context.clock.monotonic_s()
        for note in keep_edited(self.directory, now=timestamp(clock.now_s())):
            self.context.console.insist(note)
        left_s = HURRIED_S if is_hurried else WORKBOOK_S
        summary = write_result_files(
            self.directory, self.loaded.manifest.columns, self._rows(),
            has_time=lambda: clock.monotonic_s() - begun_s < left_s,
            news=lambda summary: self.comparison.text(summary, now_s=clock.now_s()),
            outages=outages,
        )  # fmt: skip
        note_written(self.directory)
        return summary

    def _rows(self) -> Iterator[ResultRow]:
        rows = rows_of_batch(self.loaded, self.records, self.begun_with)
        return self.comparison.counted(rows)

    def _how_to_resume(self, reasons: Sequence[StopReason], *, left: int) -> str:
        why = ", ".join(reason.value for reason in reasons) or "stopped early"
        first = next((advice for reason, advice in _ADVICE.items() if reason in reasons), "")
        resume = f"{first}to resume, run: {self.command_line}"
        return f"{why}: {count_text(left, 'job')} left; {resume}"


def _seeds(plan: Plan) -> str:
    """Return the warning about jobs to redo whose row fixes a seed; empty if there are none."""
    return seed_sentence(plan.fixed_seeds) if plan.fixed_seeds else ""


def _collected(left: int) -> str:
    """Return what became of the jobs in flight of a run that could not fetch its manifest."""
    if left:
        return f"{count_text(left, 'job')} in flight could not be collected yet"
    return "jobs in flight were collected from the last copy"
