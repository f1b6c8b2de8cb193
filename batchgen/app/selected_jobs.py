"""The jobs that one run is about, and the plan for them. The same before the run and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from batchgen.app.run_options import RunOptions
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import SUBMISSIONS, Disposition, Plan, Records, disposition, disposition_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedJobs:
    """A batch narrowed by `--job` and `--limit` (port `Batch`)."""

    batch: Batch
    ledger: Records
    options: RunOptions
    in_state: frozenset[str] | None = None
    """With `--select state=...`, the jobs that were in that state when the run began."""
    within_limit: frozenset[str] | None = None
    """With `--limit`, the jobs whose submission is meant; None: all."""

    @classmethod
    def of(
        cls,
        batch: Batch,
        ledger: Records,
        options: RunOptions,
        *,
        matches_state: Callable[[str], bool] | None = None,
    ) -> SelectedJobs:
        """Decide now which jobs `--limit` and a state mean; later it would drift."""
        everything = cls(batch=batch, ledger=ledger, options=options)
        if matches_state is not None:
            ids = frozenset(
                job.id for job in batch.jobs() if matches_state(_state(ledger.get(job.id)))
            )
            everything = replace(everything, in_state=ids)
        if options.limit is None:
            return everything
        submissions = (
            job.id for job in everything.jobs() if everything.disposition(job) in SUBMISSIONS
        )
        first = frozenset(islice(submissions, options.limit))
        return replace(everything, within_limit=first)

    def disposition(self, job: Job) -> Disposition:
        """What is to be done with a job, as the ledger stands now."""
        return disposition_of(job, self.ledger, self.options.policy)

    def jobs(self) -> Iterator[Job]:
        """The selected jobs in the manifest's order."""
        only = self.options.jobs
        for job in self.batch.jobs():
            if only and job.id not in only:
                continue
            if self._beyond_limit(job) or not self._in_state(job):
                continue
            yield job

    def _in_state(self, job: Job) -> bool:
        """Whether the job was in the state that `--select state=...` asks for, when this began."""
        return self.in_state is None or job.id in self.in_state

    def _beyond_limit(self, job: Job) -> bool:
        if self.within_limit is None or job.id in self.within_limit:
            return False
        return self.disposition(job) in SUBMISSIONS

    def plan(self, price_of: Callable[[Job], float | None] = lambda _: None) -> Plan:
        """What is to be done with all of them, counted, and what it is expected to cost."""
        plan = Plan()
        for job in self.jobs():
            kind = self.disposition(job)
            plan.add(kind, price_of(job) if kind in SUBMISSIONS else None)
        if not (self.options.jobs or self.in_state is not None):
            self._count_removed(plan, self.batch.jobs())
        return plan

    def _count_removed(self, plan: Plan, rows: Iterable[Job]) -> None:
        """Jobs of the ledger without a row: what is in flight among them is still collected."""
        unclaimed = {record.job for record in self.ledger.records()}
        if unclaimed:
            unclaimed.difference_update(job.id for job in rows)
        for job_id in unclaimed:
            record = self.ledger.get(job_id)
            plan.removed[disposition(record, self.options.policy, fingerprint=None)] += 1


def _state(record: JobRecord | None) -> str:
    return JobState.PENDING.value if record is None else record.state.value
