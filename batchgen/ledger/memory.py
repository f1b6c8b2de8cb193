"""What a ledger's lines come to: the present record of each job, and what was made before.

The last line of a job is its record. Two things are kept besides: an output that was made for an
earlier input of a job, in case its row goes back to that input; and nothing at all of a job that
another one has adopted.
"""

from __future__ import annotations

from collections.abc import Iterable

from batchgen.core.lifecycle import PAID_FOR, JobRecord, adopted


class Memory:
    """Records by job (port `Records`)."""

    def __init__(self) -> None:
        self._present: dict[str, JobRecord] = {}
        self._made: dict[tuple[str, str], JobRecord] = {}

    def __len__(self) -> int:
        return len(self._present)

    def keep(self, record: JobRecord) -> None:
        """Take in the next line of the ledger."""
        before = self._present.get(record.job)
        has_output = before is not None and before.state in PAID_FOR
        if before is not None and has_output and before.fingerprint != record.fingerprint:
            self._made[before.job, before.fingerprint] = before
        if record.adopted_by is None:
            self._present[record.job] = record
        else:
            self._present.pop(record.job, None)

    def adopt(self, old: str, new: str) -> None:
        """Let `new` go on with what is known of `old`, here only; `LedgerBook.adopt` writes it."""
        record = self._present.get(old)
        if record is not None:
            taken, left = adopted(record, job=new, ts=record.ts)
            self.keep(taken)
            self.keep(left)

    def get(self, job: str) -> JobRecord | None:
        """The record of a job, if anything is known of it."""
        return self._present.get(job)

    def records(self) -> Iterable[JobRecord]:
        """Every record, in the order in which the jobs were first met."""
        return self._present.values()

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """An earlier record of this job with this input and an output."""
        return self._made.get((job, fingerprint)) if self._made else None
