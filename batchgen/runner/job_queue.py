"""The job queue: which job is submitted next, and what an earlier run left open.

It streams the manifest, so that a million rows are never in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto

from batchgen.core.admission import AdmissionDecision
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import IN_FLIGHT, PAID_FOR, JobRecord, JobState, Records
from batchgen.core.plan import (
    SUBMISSIONS,
    TO_COLLECT,
    Disposition,
    Policy,
    disposition,
    disposition_of,
)

SKIP_LIMIT = 2_000
"""Rows that need nothing are skipped in slices of this many, so that the loop stays live."""

PARKED_LIMIT = 2_000
"""Rows that are read ahead while their model has to wait, so that other models need not."""

NEEDS_A_TURN = SUBMISSIONS | {Disposition.RESTORE}


def left_open(records: Records, policy: Policy) -> tuple[list[JobRecord], list[str]]:
    """Return what is in flight, oldest first, and what is to be downloaded, first ended first.

    The second are only names, because there may be a million after a run without downloads.
    """
    in_flight = sorted(records.records(*IN_FLIGHT), key=lambda record: record.submitted_at or "")
    if not policy.download:
        return in_flight, []
    ended = sorted(
        (record.finished_at or record.submitted_at or "", record.job)
        for record in records.records(JobState.COMPLETED)
        if not record.given_up
    )
    return in_flight, [job for _, job in ended]


def rows_of_open_jobs(batch: Batch, records: Records) -> dict[str, Job]:
    """Return the rows that may be submitted once their open job has been collected."""

    def may_follow(job: Job) -> bool:
        record = records.get(job.id)
        if record is None:
            return False
        edited = record.state is JobState.COMPLETED and record.fingerprint != job.fingerprint
        return edited or record.state in IN_FLIGHT

    return {job.id: job for job in batch.jobs() if may_follow(job)}


class NoJob(Enum):
    """Why there is no job to submit now."""

    MORE = auto()
    """This slice of rows had none; ask again at once."""
    WAIT = auto()
    """The jobs that remain have to wait; ask again after the next event."""
    EXHAUSTED = auto()
    """There is nothing to submit."""


class JobQueue:
    """Jobs that need a submission: first those put back by this run, then rows in their order."""

    def __init__(
        self,
        jobs: Iterable[Job],
        records: Records,
        policy: Policy,
        decision: Callable[[str], AdmissionDecision],
        *,
        decided: Callable[[str, Callable[[], bool]], bool | None],
        adopt_later: Mapping[str, str],
        may_submit: Callable[[Job], bool],
    ) -> None:
        """Read `jobs` as slots become free.

        `decided` guards what is decided about one job: a defect there skips the job. `adopt_later`
        names for some jobs another one of the same input: they have no turn before that has ended.
        A job that was in flight beyond `--limit` is collected, but not tried again: `may_submit`.
        """
        self._decided = decided
        self._adopt_later, self._may_submit = adopt_later, may_submit
        self._queued: set[str] = set()
        """Jobs in `_waiting` and `_following`."""
        self._in_turn: set[str] = set()
        """Jobs that have their turn now. A job of a later step may be found twice: in its row, and
        because the job before it has ended."""
        self._until_ended: dict[str, Job] = {}
        """Jobs whose turn comes with the end of another job, by that job."""
        self._rows = iter(jobs)
        self._waiting: deque[Job] = deque()
        self._following: deque[Job] = deque()
        """Jobs of later steps whose inputs are there."""
        self._records = records
        self._policy = policy
        self._decision = decision

    def needs_submission(self, job: Job, record: JobRecord | None = None) -> bool:
        """Return whether the plan submits this job, by what the ledger says now.

        `record` is that of the job if the caller has it: what was made for this very input needs
        no other look at the ledger.
        """
        is_made = record is not None and record.state in PAID_FOR
        is_made = is_made and not self._records.has_verdict(job.id)
        if is_made and record is not None and record.fingerprint == job.fingerprint:
            return False
        kind = disposition_of(job, self._records, self._policy)
        return kind in NEEDS_A_TURN and (kind not in SUBMISSIONS or self._may_submit(job))

    def _is_due(self, job: Job) -> bool:
        if job.id in self._in_turn or job.id in self._queued:
            return False
        due = self._decided(job.id, lambda: self.needs_submission(job))
        return bool(due) and not self._waits_for_other(job)

    def _waits_for_other(self, job: Job) -> bool:
        """Tell whether the job that this one takes over is still open, and wait for it then."""
        old = self._adopt_later.get(job.id)
        record = self._records.get(old) if old is not None else None
        if old is None or disposition(record, self._policy, fingerprint=None) not in TO_COLLECT:
            return False
        self._until_ended[old] = job
        return True

    def ended(self, job: str) -> bool:
        """Note the end of a job; return whether another one has its turn because of it."""
        waiting = self._until_ended.pop(job, None)
        if waiting is not None:
            self.put_back(waiting)
        return waiting is not None

    def put_back(self, job: Job) -> None:
        """Give a job another turn, if the plan still submits it then."""
        if job.id not in self._queued:
            self._queued.add(job.id)
            self._waiting.append(job)

    def follow(self, job: Job) -> bool:
        """Give a job of a later step a turn; return whether it is one that needs it.

        It comes before rows that were read ahead, so that steps need not wait for each other.
        """
        due = self._is_due(job)
        if due:
            self._queued.add(job.id)
            self._following.append(job)
        return due

    def read_again(self, jobs: Iterable[Job]) -> None:
        """Begin again with the first row: jobs may be due that were not when it was read."""
        self._rows = iter(jobs)

    def settled(self, job: str) -> None:
        """Note that the turn of a job is over, whatever came of it."""
        self._in_turn.discard(job)

    def next(self) -> Job | NoJob:
        """Return the next job that may be submitted now, or why there is none."""
        decisions: dict[str, AdmissionDecision] = {}
        for waiting in (self._following, self._waiting):
            for _ in range(len(waiting)):
                job = waiting.popleft()
                decision = decisions.setdefault(job.model, self._decision(job.model))
                if decision is AdmissionDecision.WAIT:
                    waiting.append(job)
                    continue
                self._queued.discard(job.id)
                if decision is AdmissionDecision.GO and self._is_due(job):
                    return self._given(job)
        return self._next_row()

    def _given(self, job: Job) -> Job:
        self._in_turn.add(job.id)
        return job

    def _next_row(self) -> Job | NoJob:
        for _ in range(SKIP_LIMIT):
            if len(self._waiting) >= PARKED_LIMIT:
                return NoJob.WAIT
            row = next(self._rows, None)
            if row is None:
                return NoJob.WAIT if self._waiting or self._following else NoJob.EXHAUSTED
            if not self._is_due(row):
                continue
            decision = self._decision(row.model)
            if decision is AdmissionDecision.GO:
                return self._given(row)
            if decision is AdmissionDecision.WAIT:
                self.put_back(row)
        return NoJob.MORE
