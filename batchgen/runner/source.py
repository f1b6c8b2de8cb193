"""Which job is next. Streams the manifest, so that a million rows never sit in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from batchgen.core.jobs import Job
from batchgen.core.plan import SUBMISSIONS, Disposition, Policy, disposition_of
from batchgen.ports import Ledger

SKIP_LIMIT = 2_000
"""Rows that need nothing are passed over in slices of this many, so that the loop stays live."""


NEEDS_A_TURN = SUBMISSIONS | {Disposition.RESTORE}


class Source:
    """Jobs that need a submission: first those put back by this run, then rows in their order."""

    def __init__(self, jobs: Iterable[Job], ledger: Ledger, policy: Policy) -> None:
        self._rows: Iterator[Job] = iter(jobs)
        self._again: deque[Job] = deque()
        self._ledger = ledger
        self._policy = policy
        self._rows_left = True

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to submit, for now."""
        return not self._rows_left and not self._again

    def needs_submission(self, job: Job) -> bool:
        """The plan's word on a job, as the ledger stands now."""
        return disposition_of(job, self._ledger, self._policy) in NEEDS_A_TURN

    def put_back(self, job: Job) -> None:
        """Try a job again, if the plan still says so when its turn comes."""
        self._again.append(job)

    def next_slice(self) -> Job | None:
        """The next job; None where this slice of rows held none (then ask `exhausted`)."""
        while self._again:
            job = self._again.popleft()
            if self.needs_submission(job):
                return job
        for _ in range(SKIP_LIMIT):
            row = next(self._rows, None)
            if row is None:
                self._rows_left = False
                return None
            if self.needs_submission(row):
                return row
        return None
