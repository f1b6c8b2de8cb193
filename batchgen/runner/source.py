"""Which job is next. Streams the manifest, so that a million rows never sit in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto

from batchgen.core.admission import Verdict
from batchgen.core.jobs import Job
from batchgen.core.plan import SUBMISSIONS, Disposition, Policy, disposition_of
from batchgen.ports import Ledger

SKIP_LIMIT = 2_000
"""Rows that need nothing are passed over in slices of this many, so that the loop stays live."""

PARKED_LIMIT = 2_000
"""Rows that are read ahead while their model has to wait, so that other models need not."""

NEEDS_A_TURN = SUBMISSIONS | {Disposition.RESTORE}


class Nothing(Enum):
    """Why no job is given."""

    MORE = auto()
    """This slice of rows held none; ask again at once."""
    WAIT = auto()
    """What there is has to wait; ask again after the next event."""
    EXHAUSTED = auto()
    """There is nothing to submit, for now."""


class Source:
    """Jobs that need a submission: first those put back by this run, then rows in their order."""

    def __init__(
        self,
        jobs: Iterable[Job],
        ledger: Ledger,
        policy: Policy,
        verdict: Callable[[str], Verdict],
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

    def next(self) -> Job | Nothing:
        """The next job that may be submitted now, or why there is none."""
        verdicts: dict[str, Verdict] = {}
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            verdict = verdicts.setdefault(job.model, self._verdict(job.model))
            if verdict is Verdict.WAIT:
                self._waiting.append(job)
            elif verdict is Verdict.GO and self.needs_submission(job):
                return job
        if self._rows is None:
            return Nothing.WAIT if self._waiting else Nothing.EXHAUSTED
        return self._next_row(self._rows)

    def _next_row(self, rows: Iterator[Job]) -> Job | Nothing:
        for _ in range(SKIP_LIMIT):
            if len(self._waiting) >= PARKED_LIMIT:
                return Nothing.WAIT
            row = next(rows, None)
            if row is None:
                self._rows = None
                return Nothing.WAIT if self._waiting else Nothing.EXHAUSTED
            if not self.needs_submission(row):
                continue
            verdict = self._verdict(row.model)
            if verdict is Verdict.GO:
                return row
            if verdict is Verdict.WAIT:
                self._waiting.append(row)
        return Nothing.MORE
