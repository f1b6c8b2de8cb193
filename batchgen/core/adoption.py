"""Rows that got an id: which job of the ledger each of them goes on with.

A row without an id is named by a digest of its input. When a colleague adds an id column later,
every row has a new name, and nothing of it may be paid for again.
"""

from __future__ import annotations

from batchgen.core.jobs import Batch
from batchgen.core.lifecycle import JobState
from batchgen.core.plan import Records


def adoptions(batch: Batch, records: Records) -> list[tuple[str, str]]:
    """Pairs of job ids, old and new: each new row with the input of a job that no row claims."""
    unclaimed = {record.job for record in records.records() if record.state is not JobState.PENDING}
    if unclaimed:
        unclaimed.difference_update(job.id for job in batch.jobs())
    if not unclaimed:
        return []
    by_input: dict[str, list[str]] = {}
    for name in sorted(unclaimed, reverse=True):
        record = records.get(name)
        if record is not None:
            by_input.setdefault(record.fingerprint, []).append(name)
    return [
        (candidates.pop(), job.id)
        for job in batch.jobs()
        if records.get(job.id) is None and (candidates := by_input.get(job.fingerprint))
    ]
