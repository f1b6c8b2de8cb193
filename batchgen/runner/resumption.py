"""What an earlier run left open, and the rows that belong to it."""

from __future__ import annotations

from collections.abc import Sequence

from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.ports import Batch


def open_states(policy: Policy) -> frozenset[JobState]:
    """The states of jobs that are paid for and not collected yet."""
    return IN_FLIGHT | {JobState.COMPLETED} if policy.download else IN_FLIGHT


def rows_of(batch: Batch, open_records: Sequence[JobRecord]) -> dict[str, Job]:
    """The rows of open jobs, which are needed where a job fails or was edited meanwhile."""
    wanted = {record.job: record for record in open_records}
    if not wanted:
        return {}
    return {job.id: job for job in batch.jobs() if _may_be_submitted(job, wanted.get(job.id))}


def _may_be_submitted(job: Job, record: JobRecord | None) -> bool:
    """Whether collecting this record can be followed by a submission of its row."""
    if record is None:
        return False
    return record.state is not JobState.COMPLETED or record.fingerprint != job.fingerprint
