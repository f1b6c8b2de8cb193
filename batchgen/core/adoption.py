"""Adoption: the jobs of the ledger that rows with a new id take over.

A row without an id is named by a digest of its input. If somebody adds an id column later, every
row has a new name, and nothing that exists under the old one may be paid for again.
"""

from __future__ import annotations

from batchgen.core.jobs import Batch
from batchgen.core.lifecycle import JobState
from batchgen.core.plan import Records


def adoptions(batch: Batch, records: Records) -> list[tuple[str, str]]:
    """Return pairs of job ids, old and new.

    Each pairs a job that no row claims with a row that has its input and no record.
    """
    unclaimed = {record.job for record in records.records() if record.state is not JobState.PENDING}
    if unclaimed:
        unclaimed.difference_update(job.id for job in batch.jobs())
    if not unclaimed:
        return []
    by_input: dict[str, list[str]] = {}
    for job_id in sorted(unclaimed, reverse=True):
        if record := records.get(job_id):
            by_input.setdefault(record.fingerprint, []).append(job_id)
    return [
        (candidates.pop(), job.id)
        for job in batch.jobs()
        if records.get(job.id) is None and (candidates := by_input.get(job.fingerprint))
    ]
