"""A batch of rows with steps: every job of every chain, by the records of that moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batchgen.app.spool import Spool
from batchgen.core.chains import chain_of
from batchgen.core.jobs import Job, row_names, step_job_name
from batchgen.core.lifecycle import Records
from batchgen.core.plan import Policy


@dataclass(frozen=True, slots=True)
class ChainedBatch:
    """Port `Batch` over the rows in a spool and the records of their jobs."""

    spool: Spool
    records: Records
    policy: Policy

    def jobs(self) -> Iterator[Job]:
        """Yield every job; those of one row follow one another."""
        for row in self.spool.jobs():
            yield from chain_of(row, self.records, self.policy)

    def ids(self) -> Iterator[str]:
        """Yield the id of every job; no record is read unless outputs decide how many there are."""
        for row in self.spool.jobs():
            if any(draft.of_each_output for draft in row.steps):
                yield from (job.id for job in chain_of(row, self.records, self.policy))
            else:
                yield row.id
                yield from (step_job_name(row.id, draft.step) for draft in row.steps)

    def following(self, job: Job) -> Iterator[Job]:
        """Yield the jobs of later steps of the same row, by the records as they are now."""
        chain = chain_of(job.row or job, self.records, self.policy)
        return (one for one in chain if one.row is not None)

    @staticmethod
    def may_submit(_: Job) -> bool:
        """Return True: a manifest by itself has no limit."""
        return True

    def left_out(self) -> Iterable[str]:
        """Yield the id of every row that is left out, and of the jobs of its steps on record."""
        rows = frozenset(self.spool.left_out())
        yield from rows
        if rows:
            yield from (job for job in self.records.jobs() if not rows.isdisjoint(row_names(job)))
