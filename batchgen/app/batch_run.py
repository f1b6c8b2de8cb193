"""One run: locate the run directory, lock it, open and load the manifest, plan, run, report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.known_ledgers import KnownLedgers, has_paid_jobs
from batchgen.app.loading import LoadedBatch, entries_to_pin, load, read_records
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import OpenBatch, open_in
from batchgen.app.pricing import (
    PriceOf,
    balance_sentence,
    price_of,
    require_prices,
    sandbox_prices,
    spending,
)
from batchgen.app.remote import Remote, real_api, sandbox_in_process
from batchgen.app.run_directories import RunDirectories
from batchgen.app.run_file import (
    first_jobs,
    mark_finished,
    remember,
    remember_jobs,
)
from batchgen.app.run_options import RunRequest, policy_of
from batchgen.app.run_preparation import Preparation, prepare
from batchgen.app.run_report import RunReport
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.core.adoption import with_present_names
from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import LockHeld, UsageError
from batchgen.core.model_entry import ModelEntry
from batchgen.core.plan import Plan, Records
from batchgen.core.run_settings import RunSettings
from batchgen.ledger import RunLedger, RunLock
from batchgen.models.pinned import PinnedSchemas
from batchgen.runner.runner import Outcome
from batchgen.runner.spending import Spending
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True)
class Narrowing:
    """What `--limit` and `--job` leave to the later directories of one command."""

    limit: int | None
    """Submissions that are still allowed; None: any number."""
    unknown_jobs: set[str]
    """Ids of `--job` that no manifest and no ledger has had so far."""


@dataclass(slots=True, kw_only=True)
class BatchRun:
    """One run in one run directory. The steps below set the later fields, in their order."""

    ref: BatchRef
    directory: RunDirectory
    directories: RunDirectories
    request: RunRequest
    settings: RunSettings
    """By the manifest as it was before the lock was taken; `open` merges them again."""
    context: CommandContext
    lock_wait: LockWait
    narrowing: Narrowing
    known_ledgers: KnownLedgers
    is_earlier: bool
    """Whether this continues a directory that was begun before today's."""

    batch: OpenBatch = field(init=False)
    loaded: LoadedBatch = field(init=False)
    remote: Remote = field(init=False)
    ledger: RunLedger = field(init=False)
    only: frozenset[str] | None = field(init=False)
    """The jobs that this run is about; None: all."""

    async def execute(self) -> int | None:
        """Run, and return the exit code; None if an earlier directory had no work left.

        Raises `BatchgenError` if the run cannot begin.
        """
        lock = None if self.settings.dry_run else await self.lock_wait.take(self.directory)
        try:
            return await self._execute(lock)
        except LockHeld:
            if lock is not None or not self.lock_wait.waits or self.ref.is_stdin:
                raise
        # Both began this directory at the same moment, and the other process was first.
        return await self._execute(await self.lock_wait.take(self.directory))

    async def _execute(self, lock: RunLock | None) -> int | None:
        """Take the steps in order; `lock` is None for a directory in which no run has begun."""
        async with AsyncExitStack() as stack:
            if lock is not None:
                stack.enter_context(lock)
            self.open()
            stack.enter_context(self.load())
            if self.settings.dry_run or not self.directory.has_ledger:
                selected = self._select(self._records())
                plan = selected.plan(price_of(self.batch.models, self.settings))
                if self.settings.dry_run:
                    return self.show_plan(plan)
                if not plan.work_left:
                    retry = self.request.retry is not None
                    return self._report_of(self._records()).say_nothing_to_do(plan, retry=retry)
            await self.begin(stack, lock)
            if not await self.prepare():
                return self._report_of(self.ledger).say_nothing_to_do(Plan(), retry=True)
            if self.is_earlier and not self._whole_plan().work_left:
                mark_finished(self.directory, policy_of(self.settings))
                return None
            selected, plan, prices = await self.plan()
            outcome = Outcome(reasons=())
            if plan.work_left:
                outcome = await self.run(selected, plan, prices)
            elif has_paid_jobs(self.ledger):
                self.known_ledgers.remember(self.directories, self.remote.base.origin)
            return self.report(selected, outcome)

    def open(self) -> None:
        """Open the manifest, and merge its run settings with the flags."""
        self.batch = open_in(self.ref, self.directory, self.context, live=True)
        self.settings = self.request.settings(self.batch.manifest.settings)
        self.context.console.configure(self.settings, self.context.clock)

    def load(self) -> LoadedBatch:
        """Read and check every row. Raises `ManifestError` if any is wrong and may not be."""
        self.loaded = load(self.batch.manifest, spool_dir=self.directory.path)
        try:
            self.loaded.require_valid(skip_invalid=self.settings.skip_invalid)
        except BaseException:
            self.loaded.spool.close()
            raise
        manifest_notes = (*self.loaded.manifest.notes, *self.batch.models.notes)
        for note in (*self.batch.notes, *manifest_notes):
            self.context.console.say(note)
        return self.loaded

    def _records(self) -> Records:
        """Return the records of a directory whose ledger this run does not write to."""
        records = read_records(self.directory, self.loaded.spool)
        self.only = self._meant_jobs(records)
        return records

    def _select(self, records: Records) -> SelectedJobs:
        selected = SelectedJobs.of(
            self.loaded.spool, records, self.settings, only=self.only, limit=self.narrowing.limit,
            matches_state=self.loaded.matches_state,
        )  # fmt: skip
        selection = self.loaded.manifest.selection
        if selection is not None and next(selected.jobs(), None) is None:
            self.context.console.say(f"--select {selection.text!r} matches no row")
        return selected

    def _meant_jobs(self, records: Records) -> frozenset[str] | None:
        """Return the jobs of `--job`, in an earlier directory among those with which it began.

        Raises `UsageError` in the last directory of a command for an id that is nowhere.
        """
        asked = frozenset(self.settings.jobs)
        if unknown := self.narrowing.unknown_jobs:
            unknown.difference_update(row.id for row in self.loaded.spool.rows())
            known = {canonical_text(record.job) for record in records.records()} if unknown else ()
            unknown.difference_update(known)
            if unknown and (not self.is_earlier or self.request.retry is not None):
                names = ", ".join(repr(job) for job in sorted(unknown))
                raise UsageError(f"--job: neither the manifest nor the ledger has {names}")
        if not self.is_earlier:
            return asked or None
        begun_with = self._begun_with()
        begun_with |= {record.job for record in records.records()}
        return begun_with & asked if asked else begun_with

    def _whole_plan(self) -> Plan:
        """Return the plan of the whole directory, whatever this run selects of it."""
        only = None
        if self.is_earlier:
            only = self._begun_with()
            only |= {record.job for record in self.ledger.records()}
        policy = policy_of(self.settings)
        everything = SelectedJobs(
            batch=self.loaded.spool, ledger=self.ledger, policy=policy, only=only
        )
        return everything.plan()

    def show_plan(self, plan: Plan) -> int | None:
        """Print the plan of a dry run; None if an earlier directory has no work left."""
        if self.is_earlier and not plan.work_left:
            return None
        if self.is_earlier:
            self._say_continued()
        report = self._report_of(self._records())
        report.show_plan(plan, balance_sentence(self.ref, plan, self.context))
        return 0

    def _say_continued(self) -> None:
        self.context.console.insist(f"{self.directory} still has work left; it is continued first")

    def _report_of(self, records: Records) -> RunReport:
        return RunReport(
            context=self.context, directory=self.directory, loaded=self.loaded, records=records,
            command_line=self._resuming_command, as_json=self.settings.json,
            begun_with=self._begun_with() if self.is_earlier else None,
        )  # fmt: skip

    def _begun_with(self) -> frozenset[str]:
        return with_present_names(first_jobs(self.directory), self.loaded.spool)

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
        pinned = PinnedSchemas(self.directory.path)
        entries = entries_to_pin(self.loaded, self.batch.models, pinned)
        self.remote = await stack.enter_async_context(self._remote(entries))
        self.ledger = RunLedger.open(
            self.directory.path, api=self.remote.base.origin, clock=self.context.clock, lock=lock
        )
        stack.push_async_callback(self.ledger.close)
        for entry in entries:
            pinned.keep(entry)
        manifest = None if self.ref.is_stdin else self.ref.manifest
        remember(self.directory, manifest, self.batch.ref.row_options)
        if self.directories.are_dated:
            remember_jobs(self.directory, (job.id for job in self.loaded.spool.jobs()))

    def _remote(self, entries: Sequence[ModelEntry]) -> AbstractAsyncContextManager[Remote]:
        if self.ref.sandbox:
            return sandbox_in_process(self.context, self.directory, entries)
        return real_api(self.context)

    async def prepare(self) -> bool:
        """Settle what is to be settled before the plan; False if `retry` finds nothing to retry."""
        preparation = Preparation(
            run_dir=self.directory.path, ledger=self.ledger, batch=self.loaded.spool,
            console=self.context.console, now_s=self.context.clock.now_s(),
            output_dir=self.loaded.manifest.settings.output.dir,
            repair=self.settings.repair, retry=self.request.retry, limit=self.narrowing.limit,
        )  # fmt: skip
        self.only = self._meant_jobs(self.ledger)
        await prepare(preparation)
        if self.request.retry is None or self.request.retry_rest:
            return True
        self.only = preparation.granted
        return bool(preparation.granted)

    async def plan(self) -> tuple[SelectedJobs, Plan, PriceOf]:
        """Decide which jobs the run is about, price them, and say so."""
        selected = self._select(self.ledger)
        if self.narrowing.limit is not None and selected.within_limit is not None:
            self.narrowing.limit -= len(selected.within_limit)
        models = self.batch.models
        if self.ref.sandbox:
            models = await sandbox_prices(self.remote, self.loaded.models)
        prices = price_of(models, self.settings)
        plan = selected.plan(prices)
        if self.is_earlier:
            self._say_continued()
        self._report_of(self.ledger).say_plan(plan)
        return selected, plan, prices

    async def run(self, selected: SelectedJobs, plan: Plan, prices: PriceOf) -> Outcome:
        """Submit, poll and download until nothing is left or a reason to stop arrives."""
        from batchgen.app.build_runner import RunnerParts, build_runner  # loads aiohttp

        parts = RunnerParts(
            context=self.context, directory=self.directory, loaded=self.loaded,
            settings=self.settings, remote=self.remote, ledger=self.ledger,
            spending=self._spending(selected, plan, prices),
        )  # fmt: skip
        api, was_known = self.remote.base.origin, self.known_ledgers.knows(self.directories)
        async with build_runner(parts, plan) as runner:
            self.known_ledgers.remember(self.directories, api)  # before anything is paid for
            outcome = await runner.run(selected)
        if not was_known and not has_paid_jobs(self.ledger):
            self.known_ledgers.forget(self.directories)
        return outcome

    def _spending(self, selected: SelectedJobs, plan: Plan, prices: PriceOf) -> Spending:
        if self.settings.max_cost and plan.unpriced:
            require_prices(selected.jobs(), prices, manifest=self.ref.manifest)
        others = [one for one in self.directories.begun() if one != self.directory]
        return spending(
            self.settings.max_cost, own=self.ledger, others=others,
            now_s=self.context.clock.now_s(), price_of=prices,
        )  # fmt: skip

    def report(self, selected: SelectedJobs, outcome: Outcome) -> int:
        """Write the results, print the summary, and return the exit code."""
        final = selected.plan(left_alone=outcome.left_alone)
        code = self._report_of(self.ledger).end(final, outcome)
        if not (final if selected.is_whole else self._whole_plan()).work_left:
            mark_finished(self.directory, policy_of(self.settings))
        return code
