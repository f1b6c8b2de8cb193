"""The jobs that one run is about, and the plan for them. The same before the run and after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice

from batchgen.app.run_options import policy_of
from batchgen.core.adoption import unclaimed
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import JobState, Records
from batchgen.core.plan import (
    SUBMISSIONS,
    TO_COLLECT,
    TO_FOLLOW,
    Disposition,
    Plan,
    Policy,
    disposition,
    disposition_of,
)
from batchgen.core.run_settings import RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedJobs:
    """A batch narrowed by `--job`, `--select state=...` and `--limit` (port `Batch`)."""

    batch: Batch
    ledger: Records
    policy: Policy
    only: frozenset[str] | None = None
    """With `--job` or `retry`, or in an earlier directory, the jobs that are meant; None: all."""
    in_state: frozenset[str] | None = None
    """With `--select state=...`, the jobs that were in that state when the run began."""
    with_steps: bool = False
    """Whether the later steps of the rows in `only` are meant too."""
    within_limit: frozenset[str] | None = None
    """With `--limit`, the rows whose jobs may be submitted; None: all."""

    @classmethod
    def of(
        cls,
        batch: Batch,
        ledger: Records,
        settings: RunSettings,
        *,
        only: frozenset[str] | None = None,
        limit: int | None = None,
        with_steps: bool = False,
        matches_state: Callable[[str], bool] | None = None,
    ) -> SelectedJobs:
        """Decide which jobs `--limit` and a state mean: during the run the answer would change."""
        policy = policy_of(settings)
        selected = cls(batch=batch, ledger=ledger, policy=policy, only=only, with_steps=with_steps)
        if matches_state is not None:
            ids = (job.id for job in batch.jobs() if matches_state(_state(ledger, job.id)))
            selected = replace(selected, in_state=frozenset(ids))
        if limit is None:
            return selected
        rows = (job.row_id for job in selected.jobs() if selected.needs_submission(job))
        return replace(selected, within_limit=frozenset(islice(_distinct(rows), limit)))

    @property
    def is_whole(self) -> bool:
        """Tell whether no job of the batch is left out."""
        return self.only is None and self.in_state is None and self.within_limit is None

    def disposition(self, job: Job) -> Disposition:
        """Return what is to be done with a job by the present ledger."""
        return disposition_of(job, self.ledger, self.policy)

    def jobs(self) -> Iterator[Job]:
        """Yield the selected jobs in the manifest's order."""
        return filter(self._is_selected, self.batch.jobs())

    def following(self, job: Job) -> Iterator[Job]:
        """Yield the selected jobs of later steps of the same row."""
        return filter(self._is_selected, self.batch.following(job))

    def _is_selected(self, job: Job) -> bool:
        if self.only is not None and not self._is_meant(job, self.only):
            return False
        if self.in_state is not None and job.id not in self.in_state:
            return False
        return not self._is_beyond_limit(job)

    def _is_meant(self, job: Job, only: frozenset[str]) -> bool:
        return job.id in only or (self.with_steps and job.row_id in only)

    def _is_beyond_limit(self, job: Job) -> bool:
        if self.within_limit is None or job.row_id in self.within_limit:
            return False
        return self.needs_submission(job)

    def needs_submission(self, job: Job) -> bool:
        """Tell whether a run would submit this job, now or once its open request is collected."""
        kind = self.disposition(job)
        if kind not in TO_COLLECT or self.policy.keep_changed:
            return kind in SUBMISSIONS
        record = self.ledger.get(job.id)
        is_same = record is None or record.fingerprint in ("", job.fingerprint)
        return not (is_same or self.ledger.made_before(job.id, job.fingerprint))

    def ids(self) -> Iterable[str]:
        """Return the id of every selected job."""
        return (job.id for job in self.jobs())

    def may_submit(self, job: Job) -> bool:
        """Tell whether the job is within the limit: one that was in flight may fail and be due."""
        return self.within_limit is None or job.row_id in self.within_limit

    def left_out(self) -> Iterable[str]:
        """Return the id of every row that can be no job of this run."""
        return self.batch.left_out()

    def plan(
        self,
        price_of: Callable[[Job], float | None] = lambda _: None,
        *,
        left_alone: Collection[str] = (),
    ) -> Plan:
        """Count what is to be done with all of them, and sum up what it is expected to cost.

        Jobs that are `left_alone` have met a defect. Theirs counts if it can be decided at all.
        """
        plan = Plan()
        for job in self.jobs():
            kind = self._after_defect(job) if job.id in left_alone else self.disposition(job)
            plan.add(kind, price_of(job) if kind in SUBMISSIONS | TO_FOLLOW else None)
            plan.fixed_seeds += kind is Disposition.REDO and "seed" in job.input
        if self.in_state is None:
            self._count_removed(plan)
        return plan

    def _after_defect(self, job: Job) -> Disposition:
        try:
            return self.disposition(job)
        except Exception:  # noqa: BLE001 - it may be the same defect; the others are counted
            return Disposition.DEFECT

    def _count_removed(self, plan: Plan) -> None:
        """Count jobs of the ledger without a row: those in flight are still collected."""
        removed = unclaimed(self.batch, self.ledger)
        for job_id in removed if self.only is None else removed & self.only:
            record = self.ledger.get(job_id)
            plan.removed[disposition(record, self.policy, fingerprint=None)] += 1
        for job_id in frozenset(self.batch.left_out()):
            record = self.ledger.get(job_id)
            kind = disposition(record, self.policy, fingerprint=None)
            if kind in TO_COLLECT:
                plan.not_selected[kind] += 1
        for job in self.batch.jobs() if self.within_limit is not None else ():
            if self._is_beyond_limit(job) and (kind := self.disposition(job)) in TO_COLLECT:
                plan.not_selected[kind] += 1


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """Yield each name once; jobs of one row follow one another."""
    return (name for name, _ in groupby(names))


def _state(ledger: Records, job: str) -> str:
    record = ledger.get(job)
    return (JobState.PENDING if record is None else record.state).value
