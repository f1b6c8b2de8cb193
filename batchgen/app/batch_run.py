"""One run: locate the run directory, lock it, open and load the manifest, plan, run, report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchgen.app.loading import LoadedBatch, entries_to_pin, load, pin, read_records
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import OpenBatch, open_copy, open_in
from batchgen.app.pricing import (
    PriceOf,
    balance_sentence,
    columns_spelled,
    price_of,
    prices_of_new_sandbox,
    require_prices,
    sandbox_prices,
    spending,
)
from batchgen.app.remote import Remote, remote_of
from batchgen.app.run_end import Comparison, RunEnd
from batchgen.app.run_file import (
    mark_finished,
    remember,
    remember_jobs,
)
from batchgen.app.run_options import RunRequest, policy_of
from batchgen.app.run_preparation import Preparation, prepare
from batchgen.app.run_report import RunReport
from batchgen.app.run_scope import Narrowing, RunScope
from batchgen.core.errors import (
    WORSE_THAN_NO_MANIFEST,
    BatchgenError,
    LockHeld,
    ManifestError,
    ManifestNotFound,
)
from batchgen.core.plan import Plan
from batchgen.ledger.history_file import last_run
from batchgen.ledger.run_ledger import RunLedger
from batchgen.runner.runner import Outcome

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext
    from batchgen.app.known_ledgers import KnownLedgers
    from batchgen.app.run_directories import RunDirectories
    from batchgen.app.selected_jobs import SelectedJobs
    from batchgen.core.lifecycle import Records
    from batchgen.core.run_limits import ColumnAllowance
    from batchgen.core.run_settings import RunSettings
    from batchgen.ledger.lock import RunLock
    from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True, kw_only=True)
class BatchRun:
    """One run in one run directory. The steps below set the later fields, in their order."""

    ref: BatchRef
    directory: RunDirectory
    directories: RunDirectories
    series: RunDirectories
    """All directories that share the budgets of a day or month."""
    request: RunRequest
    settings: RunSettings
    """By the manifest as it was before the lock was taken; `open` merges them again."""
    context: CommandContext
    lock_wait: LockWait
    narrowing: Narrowing
    known_ledgers: KnownLedgers
    is_earlier: bool
    """True if the run continues a directory that was begun before today's."""

    end: RunEnd | None = field(init=False, default=None)
    """How the run ended, once it has reported that."""
    shown_plan: Plan | None = field(init=False, default=None)
    """The plan, once a dry run has shown it."""
    signalled_at_s: float | None = field(init=False, default=None)
    """The monotonic time of a signal that stopped it."""
    batch: OpenBatch = field(init=False)
    loaded: LoadedBatch = field(init=False)
    remote: Remote = field(init=False)
    ledger: RunLedger = field(init=False)
    _opened_s: float = field(init=False)
    _comparison: Comparison = field(init=False)
    """With the end of the last run in this directory."""
    _silent_s: float = field(init=False, default=0.0)
    """How long the catalogue, which is asked first, gave no answer."""
    _by_column: tuple[ColumnAllowance, ...] = field(init=False, default=())
    """`--max-cost-by`, with the columns as the manifest spells them."""
    _refused: BatchgenError | None = field(init=False, default=None)
    """Why the manifest could not be fetched: only what is in flight is collected then."""
    only: frozenset[str] | None = field(init=False)
    """The jobs that this run is about; None: all."""
    _adopt_later: Mapping[str, str] = field(init=False)

    async def execute(self) -> int | None:
        """Run, and return the exit code; None if an earlier directory had no work left.

        Raises `BatchgenError` if the run cannot begin.
        """
        try:
            return await self._execute_locked()
        except BatchgenError as error:
            if self._refused is None or error is self._refused:
                raise
            if error.exit_code in WORSE_THAN_NO_MANIFEST:
                self.context.console.insist(f"{self._refused}; jobs in flight were not collected")
                raise
            raise _not_collected(self._refused, error) from error

    async def _execute_locked(self) -> int | None:
        lock = None if self.settings.dry_run else await self.lock_wait.take(self.directory)
        try:
            return await self._execute(lock)
        except LockHeld:
            if lock is not None or not self.lock_wait.waits or self.ref.is_stdin:
                raise
        # Both began this directory at the same moment, and the other process was first.
        self.context.fetched.clear()  # a sheet may have changed while this run waited
        return await self._execute(await self.lock_wait.take(self.directory))

    async def _execute(self, lock: RunLock | None) -> int | None:
        """Take the steps in order; `lock` is None for a directory in which no run has begun."""
        self._comparison = Comparison(begun_s=self.context.clock.now_s())
        async with AsyncExitStack() as stack:
            if lock is not None:
                stack.enter_context(lock)
            self.open()
            stack.enter_context(self.load())
            if self.settings.dry_run or not self.directory.has_ledger:
                records = read_records(self.directory, self.loaded)
                if self.settings.dry_run:
                    return self.show_plan(await self.plan_of(records), records)
                if not self.has_new_jobs(records):
                    retry = self.request.retry is not None
                    return self._say_nothing_to_do(records, retry=retry)
            await self.begin(stack, lock)
            if self.settings.serve:
                stack.enter_context(self._page())
            if not await self.prepare():
                return self._say_nothing_to_do(self.ledger, retry=True)
            if self.is_earlier and not self._scope(self.ledger).whole_plan().work_left:
                mark_finished(self.directory, policy_of(self.settings))
                return None
            return await self._plan_and_run()

    async def _plan_and_run(self) -> int | None:
        """Plan, run and report, with the ledger open."""
        selected, plan, prices = await self.plan()
        if self.is_earlier and not plan.work_left:
            return None  # what is left there is not meant by the flags of this run
        if self._refused is not None and not plan.work_left:
            raise self._refused
        self.say_plan(plan)
        if plan.work_left:
            outcome = await self.run(selected, plan, prices)
            return self.report(selected, selected.plan(left_alone=outcome.left_alone), outcome)
        api = self.remote.base.origin
        self.known_ledgers.remember_if_paid(self.directories, api, self.ledger)
        return self.report(selected, plan, Outcome(reasons=()))

    def _page(self) -> AbstractContextManager[None]:
        from batchgen.app.page_process import page_beside_run

        manifest, is_sandbox = self.ref.manifest, self.ref.sandbox
        if self.batch.fetched is not None:  # the copy: the page needs no address
            manifest = str(self.directory.manifest_copy(self.batch.fetched.format))
        return page_beside_run(manifest, self.directory, self.context, sandbox=is_sandbox)

    def _say_nothing_to_do(self, records: Records, *, retry: bool) -> int:
        self.end = self._report_of(records).say_nothing_to_do(Plan(), retry=retry)
        return self.end.code

    def open(self) -> None:
        """Open the manifest, and merge its run settings with the flags."""
        self._opened_s = self.context.clock.monotonic_s()
        try:
            self.batch = open_in(self.ref, self.directory, self.context, live=True, fresh=True)
        except (ManifestError, ManifestNotFound) as error:
            self._open_copy(error)
        self.settings = self.request.settings(self.batch.manifest.settings)
        if self._refused is not None:  # all that is in flight is meant, and good rows will do
            self.settings = replace(self.settings, jobs=(), skip_invalid=True)
        elif self.ref.is_address:  # its `run:` was not known before
            self.narrowing.limit = self.settings.limit
        self.context.console.configure(self.settings, self.context.clock)

    def _open_copy(self, error: BatchgenError) -> None:
        """Go on with the copy of a manifest that cannot be fetched, to collect what is in flight.

        Raises the error if there is nothing to go on with.
        """
        is_possible = self.ref.is_address and self.directory.has_ledger
        if not is_possible or self.settings.dry_run:
            raise error
        copy = open_copy(self.ref, self.directory, self.context)
        if copy is None:
            raise error
        self._refused = error
        self.narrowing.limit = 0  # nothing is submitted
        self.narrowing.unknown_jobs.clear()
        self.request = replace(self.request, retry=None)
        self.batch = copy

    def load(self) -> LoadedBatch:
        """Read and check every row. Raises `ManifestError` if any is wrong and may not be."""
        self.loaded = load(self.batch.manifest, spool_dir=self.directory.path)
        if self.batch.models.away:
            self._silent_s = self.context.clock.monotonic_s() - self._opened_s
        try:
            self.loaded.require_valid(skip_invalid=self.settings.skip_invalid)
            self._by_column = columns_spelled(
                self.settings.max_cost_by, self.loaded.manifest.columns
            )
        except BaseException:
            self.loaded.spool.close()
            raise
        manifest_notes = (*self.loaded.manifest.notes, *self.batch.models.notes)
        for note in (*self.batch.notes, *manifest_notes):
            self.context.console.say(note)
        return self.loaded

    def _scope(self, records: Records) -> RunScope:
        return RunScope(
            directory=self.directory, loaded=self.loaded, records=records, settings=self.settings,
            narrowing=self.narrowing, is_earlier=self.is_earlier,
            is_retry=self.request.retry is not None,
        )  # fmt: skip

    async def plan_of(self, records: Records) -> Plan:
        """Return the plan of a dry run."""
        scope, models = self._scope(records), self.batch.models
        if self.ref.sandbox:
            entries = entries_to_pin(self.loaded, models, self.directory)
            models = await prices_of_new_sandbox(self.context, entries, self.loaded.models)
        return self._select(scope, scope.meant_jobs()).plan(price_of(models, self.settings))

    def has_new_jobs(self, records: Records) -> bool:
        """Tell whether there is anything to do in a directory in which no run has begun."""
        scope = self._scope(records)
        only = scope.meant_jobs()  # an id that is nowhere is an error
        if self.request.retry is not None and not self.request.retry_rest:
            return False  # it is about failed jobs
        return next(self._select(scope, only).jobs(), None) is not None

    def _select(self, scope: RunScope, only: frozenset[str] | None) -> SelectedJobs:
        selected = scope.select(only)
        selection = self.loaded.manifest.selection
        if selection is not None and next(selected.jobs(), None) is None:
            self.context.console.say(f"--select {selection.text!r} matches no row")
        return selected

    def show_plan(self, plan: Plan, records: Records) -> int | None:
        """Print the plan of a dry run; None if an earlier directory has no work left."""
        if self.is_earlier and not plan.work_left:
            return None
        if self.is_earlier:
            self._say_continued()
        self.shown_plan = plan
        report = self._report_of(records)
        report.show_plan(plan, lambda: balance_sentence(self.ref, plan, self.context))
        return 0

    def _say_continued(self) -> None:
        self.context.console.insist(f"{self.directory} still has work left; it is continued first")

    def _report_of(self, records: Records) -> RunReport:
        return RunReport(
            context=self.context, directory=self.directory, loaded=self.loaded, records=records,
            command_line=self._resuming_command, serve_line=self.ref.command_line("serve"),
            as_json=self.settings.json,
            comparison=self._comparison, refused=self._refused,
            begun_with=self._scope(records).begun_with(),
        )  # fmt: skip

    @property
    def _resuming_command(self) -> str:
        """The command that resumes this directory and no other.

        Without a date, the same command would begin another directory after midnight.
        """
        date = "" if self.settings.date else self.directories.date_of(self.directory)
        return self.request.command_line + (f" --date {date}" if date else "")

    async def begin(self, stack: AsyncExitStack, lock: RunLock | None) -> None:
        """Create the directory, open the ledger as its only writer, and pin the schemas."""
        self.directory.create()
        if lock is None:
            lock = stack.enter_context(self.lock_wait.acquire(self.directory))
        self.directory.remove_leftovers()
        entries = entries_to_pin(self.loaded, self.batch.models, self.directory)
        self.remote = await stack.enter_async_context(
            remote_of(self.context, self.directory, entries, is_sandbox=self.ref.sandbox)
        )
        past = last_run(self.directory)
        self.ledger = RunLedger.open(
            self.directory.path, api=self.remote.base.origin, clock=self.context.clock, lock=lock,
            since=None if past is None else past.ended,
        )  # fmt: skip
        stack.push_async_callback(self.ledger.close)
        self._comparison.past = past
        self._comparison.state_then = self.ledger.state_then
        if self._refused is None:
            self.batch.keep_fetched()
        pin(entries, self.directory)
        is_path = not (self.ref.is_stdin or self.ref.is_address)
        manifest = self.ref.manifest if is_path else None
        settings = self.batch.manifest.settings
        options = self.batch.ref.row_options
        if not (settings.wildcards or settings.sample):
            options = replace(options, seed=None)  # nothing is picked
        remember(self.directory, manifest, options)
        if self.directories.are_dated:
            remember_jobs(self.directory, self.loaded.spool.switched_on())

    async def prepare(self) -> bool:
        """Settle what is to be settled before the plan; False if `retry` finds nothing to retry."""
        preparation = Preparation(
            run_dir=self.directory.path, ledger=self.ledger, rows=self.loaded.spool,
            batch=self.loaded.batch(self.ledger, policy_of(self.settings)),
            has_steps=self.loaded.has_steps,
            console=self.context.console, now_s=self.context.clock.now_s(),
            output_dir=self.loaded.manifest.settings.output.dir,
            repair=self.settings.repair, retry=self.request.retry, limit=self.narrowing.limit,
        )  # fmt: skip
        self._scope(self.ledger).meant_jobs()  # an id that is nowhere is an error before any change
        await prepare(preparation)
        self.only = self._scope(self.ledger).meant_jobs()  # by the names that jobs have now
        self._adopt_later = preparation.adopt_later
        if self.request.retry is None or self.request.retry_rest:
            return True
        self.only = preparation.granted
        return bool(preparation.granted)

    async def plan(self) -> tuple[SelectedJobs, Plan, PriceOf]:
        """Decide which jobs the run is about, and price them."""
        selected = self._select(self._scope(self.ledger), self.only)
        if self.narrowing.limit is not None and selected.within_limit is not None:
            self.narrowing.limit -= len(selected.within_limit)
        models = self.batch.models
        if self.ref.sandbox:
            models = await sandbox_prices(self.remote, self.loaded.models)
        prices = price_of(models, self.settings)
        if self.loaded.has_gates:
            unpriced = selected.plan()
            if not unpriced.work_left:  # what waits for a review needs no price
                return selected, unpriced, prices
        return selected, selected.plan(prices), prices

    def say_plan(self, plan: Plan) -> None:
        """Print what the run is going to do."""
        if self.is_earlier:
            self._say_continued()
        self._report_of(self.ledger).say_plan(plan)

    async def run(self, selected: SelectedJobs, plan: Plan, prices: PriceOf) -> Outcome:
        """Submit, poll and download until nothing is left or a reason to stop arrives."""
        from batchgen.app.paying_run import PayingRun  # loads aiohttp

        if (self.settings.max_cost or self._by_column) and plan.unpriced:
            require_prices(selected.jobs(), prices, manifest=self.ref.shown)
        budgets = spending(
            self.settings.max_cost, self._by_column, rows=self.loaded.batch(self.ledger).jobs,
            own=self.ledger, others=self.series.others(self.directory),
            now_s=self.context.clock.now_s(), price_of=prices,
        )  # fmt: skip
        self._comparison.budgets = budgets.budgets
        paying = PayingRun(
            context=self.context, directory=self.directory, directories=self.directories,
            loaded=self.loaded, settings=self.settings, remote=self.remote, ledger=self.ledger,
            spending=budgets, adopt_later=self._adopt_later, known_ledgers=self.known_ledgers,
            away=self.batch.models.away, silent_s=self._silent_s,
        )  # fmt: skip
        outcome = await paying.run(selected, plan)
        self.signalled_at_s = outcome.signalled_at_s
        return outcome

    def report(self, selected: SelectedJobs, final: Plan, outcome: Outcome) -> int:
        """Write the results, print the summary, and return the exit code.

        `final` is the plan for the selected jobs as they are now.
        """
        self.ledger.read_reviews()  # some may have been given during the run
        self.end = self._report_of(self.ledger).end(final, outcome)
        is_whole = selected.is_whole and self.loaded.manifest.selection is None
        if not (final if is_whole else self._scope(self.ledger).whole_plan()).work_left:
            mark_finished(self.directory, policy_of(self.settings))
        return self.end.code


def _not_collected(refused: BatchgenError, error: BatchgenError) -> BatchgenError:
    """Return why the manifest was not fetched, and why nothing could be collected either."""
    what = f"; jobs in flight were not collected: {error}"
    if isinstance(refused, ManifestError):
        refused.way_out = what
        return refused
    return ManifestNotFound(f"{refused}{what}")
