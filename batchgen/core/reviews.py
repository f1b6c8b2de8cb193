"""Verdicts on takes, and what follows from them: which one counts, and which redo is still open.

A verdict is about one take: the output that one submission (or the attempts that followed a failed
one) was meant to give. So it names the moment of that submission. What the user said of a picture
says nothing of the one that an edited row makes, although both are the first take of their input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from msgspec import Struct

from batchgen.core.lifecycle import REDONE, JobRecord, JobState


class VerdictWord(StrEnum):
    """The verdicts; the values are those of reviews.jsonl."""

    KEEP = "keep"
    REDO = "redo"  #: One more submission of the same input is wanted, as its next take.
    REJECT = "reject"  #: The output is not wanted, and is not generated again.


class Verdict(Struct, frozen=True, kw_only=True, gc=False):
    """What the user says of one take; a line of reviews.jsonl."""

    ts: str = ""
    job: str
    take: int = 1
    verdict: VerdictWord
    note: str = ""
    submitted_at: str | None = None
    """When that take was submitted; "" if it was not yet. None: not known, any input counts."""

    def is_about(self, record: JobRecord) -> bool:
        """Tell whether this is a verdict on the take of that record."""
        same_post = self.submitted_at in (None, record.submitted_at or "")
        return self.take == record.take and same_post


def verdicts_by_take(verdicts: Iterable[Verdict]) -> Callable[[JobRecord], Verdict | None]:
    """Return a function that gives the last verdict on the take of a record."""
    last = {(one.job, one.take): one for one in verdicts}

    def of(record: JobRecord) -> Verdict | None:
        found = last.get((record.job, record.take))
        return found if found is not None and found.is_about(record) else None

    return of


def asks_for_redo(record: JobRecord, verdict: Verdict | None) -> bool:
    """Tell whether the user asked for the next take, and no intent of it has used that up.

    `verdict` is the last one on the take of the record. The intent of the next take makes that the
    take of the record, of which the verdict says nothing.
    """
    is_redo = verdict is not None and verdict.verdict is VerdictWord.REDO
    return is_redo and record.state in REDONE


def is_unwanted(record: JobRecord, verdict: Verdict | None) -> bool:
    """Tell whether the user rejected this take, which was submitted and gave no output."""
    is_reject = verdict is not None and verdict.verdict is VerdictWord.REJECT
    return is_reject and record.state in _WITHOUT_OUTPUT


_WITHOUT_OUTPUT = frozenset(
    {JobState.PENDING, JobState.FAILED, JobState.CANCELLED, JobState.IN_DOUBT}
)


def take_to_submit(record: JobRecord | None, verdict: Verdict | None, *, fingerprint: str) -> int:
    """Return the number of the take that a submission of this input is for."""
    if record is None or record.fingerprint != fingerprint:
        return 1
    return record.take + 1 if asks_for_redo(record, verdict) else record.take


def seed_sentence(jobs: int) -> str:
    """Return what to say of another take of rows that fix a seed."""
    rows = "the row fixes" if jobs == 1 else f"{jobs:,} of the rows fix"
    return f"redo: {rows} a seed, so the picture may come out the same; change or remove it"
