"""What an earlier run left open, and the rows that belong to it."""

from __future__ import annotations

from collections.abc import Sequence

from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.ports import Batch


def is_open(record: JobRecord, policy: Policy) -> bool:
    """Whether a job is paid for and not collected yet."""
    to_download = record.state is JobState.COMPLETED and policy.download
    return record.state in IN_FLIGHT or to_download


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
