"""One batch: its manifest, run directory, lock, ledger and schemas, as a run would meet them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.app.known_ledgers import KnownLedgers
from batchgen.app.loading import load, read_records
from batchgen.app.open_batch import locate, open_in
from batchgen.app.run_options import RunRequest, policy_of
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.app.shard_check import require_same_shards
from batchgen.core.errors import BatchgenError, LockHeld
from batchgen.core.units import count_text, local_date
from batchgen.doctor.disk_checks import check_disk
from batchgen.doctor.finding import Finding, faults, note, ok
from batchgen.engines.pool import require_ray
from batchgen.ledger.lock import at_work, work_sentence
from batchgen.ledger.replay import replay, require_same_api
from batchgen.reports.plan_text import plan_sentence

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext
    from batchgen.app.loading import LoadedBatch
    from batchgen.app.run_directories import RunDirectories
    from batchgen.core.run_settings import RunSettings
    from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True, kw_only=True)
class BatchExamination:
    """The examination of one batch, step by step; the later fields are what was found."""

    ref: BatchRef
    context: CommandContext
    model: str = field(init=False, default="")
    """The first model that a row names."""
    work_left: int | None = field(init=False, default=None)
    """Jobs that a run still has to do something about; None if that could not be found out."""

    def findings(self) -> Iterator[Finding]:
        """Yield everything that is found, in the order in which a run would meet it."""
        try:
            directories = locate(self.ref)
        except BatchgenError as error:
            yield from faults("manifest", error, f"correct it; to see more: {self._check_line}")
            return
        directory = directories.on(local_date(self.context.clock.now_s()))
        if directories.begun() and not directories.are_dated:
            directory = directories.newest()
        yield from self._place(directories)
        yield from self._lock(directory)
        disk = list(check_disk("disk", directory.path, self.context.clock))
        if directory.path.exists():
            yield from disk
        yield from self._manifest(directory)
        if not directory.path.exists():
            yield from disk

    def _place(self, directories: RunDirectories) -> Iterator[Finding]:
        known = KnownLedgers.of(self.context.state_dir, self.ref)
        try:
            require_same_shards(directories)
            known.require_present(directories, self.context.api.origin)
        except BatchgenError as error:
            yield from faults("run directory", error)
            return
        begun = directories.begun()
        if begun:
            where = ", ".join(str(one) for one in begun[-3:])
            yield ok("run directory", f"begun: {where}")
        else:
            yield ok("run directory", f"no run has begun in {directories.newest()} yet")

    def _lock(self, directory: RunDirectory) -> Iterator[Finding]:
        holder = at_work(directory.path)
        if holder is None:
            return
        held = LockHeld(f"{directory}: {work_sentence(holder, self.context.clock.now_s())}")
        yield from faults("lock", held, "wait for it: run --if-locked wait=10m")

    def _manifest(self, directory: RunDirectory) -> Iterator[Finding]:
        try:
            batch = open_in(self.ref, directory, self.context, fresh=True)
            loaded = load(batch.manifest, spool_dir=directory.path)
        except BatchgenError as error:
            yield from faults("manifest", error, f"correct it; to see more: {self._check_line}")
            yield from self._ledger(directory)
            return
        with loaded:
            self.model = next(iter(loaded.models), "")
            settings = yield from self._settings(loaded)
            yield from self._ledger(directory)
            if settings is not None:
                yield from self._plan(loaded, directory, settings)
            yield from self._schemas(loaded)
            named = loaded.manifest.settings.output.dir
            if named and "://" not in named:
                path = directory.path / named
                yield from check_disk("outputs", path, self.context.clock)

    def _settings(self, loaded: LoadedBatch) -> Generator[Finding, None, RunSettings | None]:
        """Return the settings of a run, unless manifest or settings keep it from beginning."""
        advice = f"correct it; to see more: {self._check_line}"
        try:
            settings = RunRequest(flags={}).settings(loaded.manifest.settings)
        except BatchgenError as error:
            yield from faults("manifest", error, advice)
            return None
        try:
            loaded.require_valid(skip_invalid=settings.skip_invalid)
            if settings.engine == "ray":
                require_ray()
        except BatchgenError as error:
            yield from faults("manifest", error, advice)
            return None
        yield ok("manifest", f"{self.ref.shown}: {count_text(loaded.spool.valid, 'job')}")
        for text in loaded.manifest.notes:
            yield note("manifest", text)
        return settings

    def _ledger(self, directory: RunDirectory) -> Iterator[Finding]:
        if not directory.has_ledger:
            return
        try:
            found = replay(directory.ledger)
            if not self.ref.sandbox:
                require_same_api(found, self.context.api.origin)
        except BatchgenError as error:
            yield from faults("ledger", error)
            return
        jobs = sum(1 for _ in found.index.jobs())
        yield ok("ledger", f"{directory.ledger}: {count_text(jobs, 'job')} on record")

    def _plan(
        self, loaded: LoadedBatch, directory: RunDirectory, settings: RunSettings
    ) -> Iterator[Finding]:
        try:
            records = read_records(directory, loaded)
        except BatchgenError:
            return  # the ledger is a fault already
        batch = loaded.batch(records, policy_of(settings))
        selected = SelectedJobs.of(
            batch, records, settings, matches_state=loaded.matches_state, with_steps=True
        )
        plan = selected.plan()
        self.work_left = plan.work_left
        yield ok("plan", plan_sentence(plan, invalid=loaded.spool.invalid))

    def _schemas(self, loaded: LoadedBatch) -> Iterator[Finding]:
        for model, origin in loaded.manifest.origins.items():
            yield ok("schema", f"{model}: {origin}")
        for model in loaded.models:
            if model not in loaded.manifest.origins:
                yield note(
                    "schema", f"{model}: no schema is known, so its rows are not checked",
                    f"batchgen models {model} --refresh",
                )  # fmt: skip

    @property
    def _check_line(self) -> str:
        return self.ref.command_line("check").replace(" --sandbox", "")
