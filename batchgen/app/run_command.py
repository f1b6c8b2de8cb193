"""The runs of one command: in directories that were begun earlier, then in the one for today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.app.batch_run import BatchRun
from batchgen.app.known_ledgers import KnownLedgers
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import directories_of, read_settings, series_of
from batchgen.app.other_directories import newest_with
from batchgen.app.run_file import is_finished
from batchgen.app.run_news import CommandNews
from batchgen.app.run_options import RunRequest, policy_of
from batchgen.app.run_scope import Narrowing
from batchgen.app.shard_check import require_same_shards
from batchgen.core.errors import BatchgenError, LockHeld, UsageError
from batchgen.core.exit_codes import worst
from batchgen.core.run_limits import LockedAction
from batchgen.core.units import local_date

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext
    from batchgen.app.run_end import RunEnd
    from batchgen.core.plan import Plan
    from batchgen.core.run_settings import RunSettings
    from batchgen.manifest.settings import ManifestSettings
    from batchgen.system.run_directory import RunDirectory

SKIPPED = "skipped"


@dataclass(slots=True, kw_only=True)
class RunCommand:
    """One command: its runs, and what they left."""

    ref: BatchRef
    request: RunRequest
    context: CommandContext
    ends: list[RunEnd] = field(init=False, default_factory=list)
    """The ends of its runs, one for each run directory."""
    plans: list[Plan] = field(init=False, default_factory=list)
    """The plans of a dry run, one for each run directory."""
    reasons: tuple[str, ...] = field(init=False, default=())
    """Why nothing was done at all; empty if something was."""

    async def execute(self) -> int:
        """Run in every directory that has work left, and return the worst exit code.

        Raises `BatchgenError` if the run cannot begin.
        """
        console = self.context.console
        settings = self.request.settings(None)
        if settings.serve and self.ref.is_stdin:
            raise UsageError("--serve reads the manifest again when it changes; give a file, not -")
        with console:
            console.configure(settings, self.context.clock)
            with CommandNews.of(self.ref, self.request, self.context).told() as news:
                try:
                    manifest = read_settings(self.ref)
                    settings = self.request.settings(manifest)
                    console.configure(settings, self.context.clock)
                    news.configure(settings)
                    runs = located_runs(self.ref, self.request, manifest, self.context)
                    return news.ended_with(await self._run_all(runs, news))
                except BatchgenError as error:
                    skips = settings.if_locked.action is LockedAction.SKIP
                    if skips and isinstance(error, LockHeld):
                        self.reasons = (SKIPPED, error.reason)
                        code = _skipped(error, settings, self.context)
                        return news.ended_with(code, f"skipped: {error}")
                    console.log(str(error))
                    if not settings.dry_run:
                        news.add_failed_run(error)
                    raise

    async def _run_all(self, batch_runs: Iterable[BatchRun], news: CommandNews) -> int:
        codes = []
        for batch_run in batch_runs:
            code = await batch_run.execute()
            if code is None:
                continue
            codes.append(code)
            news.signalled_at_s = batch_run.signalled_at_s
            news.configure(batch_run.settings)  # those of a sheet at an address are known only now
            if batch_run.shown_plan is not None:
                self.plans.append(batch_run.shown_plan)
            if batch_run.end is not None:
                self.ends.append(batch_run.end)
                news.ends.append((batch_run.directory, batch_run.end))
            if code not in (0, 1) and not batch_run.settings.dry_run:
                return code
        return worst(codes) if codes else 0


def _skipped(error: LockHeld, settings: RunSettings, context: CommandContext) -> int:
    """Say that the run was skipped, and return the exit code."""
    code, text = settings.if_locked.skip_code, f"skipped, nothing was done: {error}"
    if settings.json:
        context.console.print_json({"exit_code": code, "reasons": [SKIPPED, error.reason]})
    speak = context.console.say if code == 0 else context.console.insist
    speak(text)
    return code


def located_runs(
    ref: BatchRef, request: RunRequest, manifest: ManifestSettings | None, context: CommandContext
) -> Iterator[BatchRun]:
    """Yield the runs of one command: directories begun earlier, then the one for today.

    Which of the earlier ones have work left is found out by their runs, under their locks.
    """
    directories = directories_of(ref, manifest)
    settings = request.settings(manifest)
    today = directories.on(settings.date or local_date(context.clock.now_s()))
    lock_wait = LockWait(if_locked=settings.if_locked, context=context)
    retried = request.retry.jobs if request.retry is not None else ()
    narrowing = Narrowing(settings.limit, {*settings.jobs, *retried})

    if not settings.fresh:
        require_same_shards(directories)
    known = KnownLedgers.of(context.state_dir, ref)
    if not settings.new_ledger:
        known.require_present(directories, context.api.origin)

    def run_in(directory: RunDirectory, *, is_earlier: bool) -> BatchRun:
        return BatchRun(
            ref=ref, directory=directory, directories=directories, request=request,
            settings=settings, context=context, lock_wait=lock_wait, narrowing=narrowing,
            known_ledgers=known, series=series_of(ref, manifest),
            is_earlier=is_earlier,
        )  # fmt: skip

    if request.retry is not None and not settings.date:
        chosen = newest_with(directories, request.retry.chooses) or today
        yield run_in(chosen, is_earlier=chosen != today)
        return
    if directories.are_dated and not (settings.date or settings.fresh):
        for directory in directories.begun():
            if directory != today and not is_finished(directory, policy_of(settings)):
                yield run_in(directory, is_earlier=True)
    yield run_in(today, is_earlier=False)
