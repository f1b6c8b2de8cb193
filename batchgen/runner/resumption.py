"""What an earlier run left open, and the rows that belong to it."""

from __future__ import annotations

from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Policy, Records
from batchgen.ports import Batch


def left_open(records: Records, policy: Policy) -> tuple[list[JobRecord], list[str]]:
    """What is in flight, oldest first; and what is to be downloaded, what ended first first.

    Of the second only names, because there may be a million after a night without downloads.
    """
    in_flight = sorted(records.records(*IN_FLIGHT), key=lambda record: record.submitted_at or "")
    if not policy.download:
        return in_flight, []
    ended = sorted(
        (record.finished_at or record.submitted_at or "", record.job)
        for record in records.records(JobState.COMPLETED)
    )
    return in_flight, [job for _, job in ended]


def rows_of(batch: Batch, records: Records) -> dict[str, Job]:
    """The rows of open jobs, which are needed where a job fails or was edited meanwhile."""
    return {job.id: job for job in batch.jobs() if _may_be_submitted(job, records.get(job.id))}


def _may_be_submitted(job: Job, record: JobRecord | None) -> bool:
    """Whether collecting this record can be followed by a submission of its row."""
    if record is None:
        return False
    if record.state is JobState.COMPLETED:
        return record.fingerprint != job.fingerprint
    return record.state in IN_FLIGHT
