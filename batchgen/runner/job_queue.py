"""What an earlier run left open, and the rows that belong to it.

Which job is next. Streams the manifest, so that a million rows never sit in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto

from batchgen.core.admission import AdmissionDecision
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import SUBMISSIONS, Disposition, Policy, Records, disposition_of
from batchgen.ports import Ledger


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


SKIP_LIMIT = 2_000
"""Rows that need nothing are passed over in slices of this many, so that the loop stays live."""

PARKED_LIMIT = 2_000
"""Rows that are read ahead while their model has to wait, so that other models need not."""

NEEDS_A_TURN = SUBMISSIONS | {Disposition.RESTORE}


class NoJob(Enum):
    """Why no job is given."""

    MORE = auto()
    """This slice of rows held none; ask again at once."""
    WAIT = auto()
    """What there is has to wait; ask again after the next event."""
    EXHAUSTED = auto()
    """There is nothing to submit, for now."""


class JobQueue:
    """Jobs that need a submission: first those put back by this run, then rows in their order."""

    def __init__(
        self,
        jobs: Iterable[Job],
        ledger: Ledger,
        policy: Policy,
        verdict: Callable[[str], AdmissionDecision],
    ) -> None:
        self._rows: Iterator[Job] | None = iter(jobs)
        self._waiting: deque[Job] = deque()
        self._ledger = ledger
        self._policy = policy
        self._verdict = verdict

    def needs_submission(self, job: Job) -> bool:
        """The plan's word on a job, as the ledger stands now."""
        return disposition_of(job, self._ledger, self._policy) in NEEDS_A_TURN

    def put_back(self, job: Job) -> None:
        """Give a job another turn, if the plan still says so when that comes."""
        self._waiting.append(job)

    def next(self) -> Job | NoJob:
        """The next job that may be submitted now, or why there is none."""
        verdicts: dict[str, AdmissionDecision] = {}
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            verdict = verdicts.setdefault(job.model, self._verdict(job.model))
            if verdict is AdmissionDecision.WAIT:
                self._waiting.append(job)
            elif verdict is AdmissionDecision.GO and self.needs_submission(job):
                return job
        if self._rows is None:
            return NoJob.WAIT if self._waiting else NoJob.EXHAUSTED
        return self._next_row(self._rows)

    def _next_row(self, rows: Iterator[Job]) -> Job | NoJob:
        for _ in range(SKIP_LIMIT):
            if len(self._waiting) >= PARKED_LIMIT:
                return NoJob.WAIT
            row = next(rows, None)
            if row is None:
                self._rows = None
                return NoJob.WAIT if self._waiting else NoJob.EXHAUSTED
            if not self.needs_submission(row):
                continue
            verdict = self._verdict(row.model)
            if verdict is AdmissionDecision.GO:
                return row
            if verdict is AdmissionDecision.WAIT:
                self._waiting.append(row)
        return NoJob.MORE
