"""The jobs that one run is about: the rows of its directory, `--job`, `--select`, `--limit`."""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.app.loading import LoadedBatch
from batchgen.app.run_file import first_jobs
from batchgen.app.run_options import policy_of
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.core.adoption import with_present_names
from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import UsageError
from batchgen.core.jobs import Batch
from batchgen.core.lifecycle import Records
from batchgen.core.plan import Plan, disposition
from batchgen.core.run_settings import RunSettings
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True)
class Narrowing:
    """What `--limit` and `--job` leave to the later directories of one command."""

    limit: int | None
    """Submissions that are still allowed; None: any number."""
    unknown_jobs: set[str]
    """Ids of `--job` that no manifest and no ledger has had so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """What one run may touch of its directory."""

    directory: RunDirectory
    loaded: LoadedBatch
    records: Records
    settings: RunSettings
    narrowing: Narrowing
    is_earlier: bool
    """Whether the directory was begun before today's: rows added since then are not its rows."""
    is_retry: bool

    def meant_jobs(self) -> frozenset[str] | None:
        """Return the jobs of `--job`, in an earlier directory among its own; None: all.

        Raises `UsageError` in the last directory of a command for an id that is nowhere.
        """
        asked = frozenset(self.settings.jobs)
        if unknown := self.narrowing.unknown_jobs:
            unknown.difference_update(row.id for row in self.loaded.spool.rows())
            unknown.difference_update(self._batch.ids() if unknown else ())
            records = self.records.records() if unknown else ()
            unknown.difference_update(canonical_text(record.job) for record in records)
            if unknown and (not self.is_earlier or self.is_retry):
                names = ", ".join(repr(job) for job in sorted(unknown))
                raise UsageError(f"--job: neither the manifest nor the ledger has {names}")
        own = self._own_jobs()
        return (asked or None) if own is None else own & asked if asked else own

    def select(self, only: frozenset[str] | None) -> SelectedJobs:
        """Return the jobs among `only` that flags and selection leave."""
        return SelectedJobs.of(
            self._batch, self.records, self.settings, only=only, with_steps=not self._names_jobs,
            limit=self.narrowing.limit, matches_state=self.loaded.matches_state,
        )  # fmt: skip

    def whole_plan(self) -> Plan:
        """Return the plan of the whole directory, whatever this run selects of it.

        A row that is not selected was not checked; it counts as unchanged.
        """
        own, policy = self._own_jobs(), policy_of(self.settings)
        everything = SelectedJobs(
            batch=self._batch, ledger=self.records, policy=policy, only=own, with_steps=True
        )
        plan = everything.plan()
        for job in self.loaded.spool.unselected():
            if own is None or job in own:
                record = self.records.get(job)
                fingerprint = record.fingerprint if record is not None else ""
                verdict = self.records.verdict(record) if record is not None else None
                plan.add(disposition(record, policy, fingerprint=fingerprint, verdict=verdict))
        return plan

    @property
    def _batch(self) -> Batch:
        return self.loaded.batch(self.records, policy_of(self.settings))

    @property
    def _names_jobs(self) -> bool:
        """Whether the run is about jobs that are named one by one."""
        return bool(self.settings.jobs) or self.is_retry

    def begun_with(self) -> frozenset[str] | None:
        """Return the jobs, by their present names, with which a directory began; None: all."""
        if not self.is_earlier:
            return None
        return with_present_names(first_jobs(self.directory), self.loaded.spool)

    def _own_jobs(self) -> frozenset[str] | None:
        """Return the jobs with which an earlier directory began, and those on record; None: all."""
        begun_with = self.begun_with()
        if begun_with is None:
            return None
        return begun_with | {record.job for record in self.records.records()}
