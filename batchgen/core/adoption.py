"""Adoption: the jobs of the ledger that rows with a new id take over.

A row without an id is named by a digest of its input. If somebody adds an id column later, every
row has a new name, and nothing that exists under the old one may be paid for again.
"""

from __future__ import annotations

from batchgen.core.jobs import Batch
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Records


def adoptions(batch: Batch, records: Records) -> list[tuple[str, str]]:
    """Return pairs of job ids, old and new.

    Each pairs a job that no row claims with a row that has its input and nothing on record. A row
    claims the job of its id also if it is not selected, or is wrong at the moment.
    """
    by_input: dict[str, list[str]] = {}
    for job_id in sorted(unclaimed(batch, records), reverse=True):
        record = records.get(job_id)
        if record is not None and record.state is not JobState.PENDING:
            by_input.setdefault(record.fingerprint, []).append(job_id)
    if not by_input:
        return []
    return [
        (candidates.pop(), job.id)
        for job in batch.jobs()
        if _is_new(records.get(job.id)) and (candidates := by_input.get(job.fingerprint))
    ]


def unclaimed(batch: Batch, records: Records) -> set[str]:
    """Return the jobs on record that no row of the manifest has any more."""
    found = {record.job for record in records.records()}
    if found:
        found.difference_update(job.id for job in batch.jobs())
    if not found:
        return found
    left_out = frozenset(batch.left_out())
    return {job for job in found if not _is_claimed(job, left_out)}


def _is_claimed(job: str, left_out: frozenset[str]) -> bool:
    """Tell whether a row that is left out has this job: `id`, or `id~...` for a copy of it."""
    ends = (end for end, letter in enumerate(job) if letter == "~")
    return job in left_out or any(job[:end] in left_out for end in ends)


def _is_new(record: JobRecord | None) -> bool:
    """Tell whether nothing was ever accepted for the present input of a job."""
    return record is None or (record.state is JobState.PENDING and not record.attempts)
