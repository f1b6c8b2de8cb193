"""The merge of records of one job from several ledgers: which one counts, and what was paid twice.

Two ledgers know the same job if one is a copy of the other that went on, if shards overlap, or if
two machines have run the same rows. The first is harmless, the last may have cost money twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from batchgen.core.charges import Charge
from batchgen.core.lifecycle import PAID_FOR, JobRecord, JobState, Take, with_earlier

_MAY_BE_PAID = frozenset(
    {
        *PAID_FOR, JobState.SUBMITTING, JobState.IN_QUEUE, JobState.IN_PROGRESS,
        JobState.IN_DOUBT, JobState.UNKNOWN,
    }
)  # fmt: skip
"""States in which the present POST of a job was paid for, or may have been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """A job as one ledger knows it."""

    ledger: str
    """Its run directory, for messages."""
    record: JobRecord
    made_before: tuple[JobRecord, ...] = ()
    """Records of earlier inputs that have an output."""
    is_continued: bool = False
    """Whether another ledger has this line too and went on from it, as a copy does."""

    @property
    def worth(self) -> int:
        """2: the present POST was paid for, or may have been; 1: an earlier take was; 0: none."""
        return 2 if self.record.state in _MAY_BE_PAID else int(self.record.has_output)

    def paid(self) -> Iterator[Charge]:
        """Yield the POSTs that were paid for or may have been, and whose output counts."""
        if self.record.state in _MAY_BE_PAID and not self.record.given_up:
            yield self.record.present_charge
        for made in self.made_before:
            if made.state in PAID_FOR:
                yield made.present_charge
        for record in (self.record, *self.made_before):
            for take in record.takes:
                if take.ended in PAID_FOR:
                    yield _charge_of(take, record)

    def knows(self, other: Charge) -> bool:
        """Tell whether this ledger has a POST of another one, too."""
        return any(is_same_post(one, other) for one in self.charges())

    def charges(self) -> Iterator[Charge]:
        """Yield the charge of every POST of this job, those that cost nothing included."""
        yield self.record.present_charge
        yield from self.record.earlier_charges
        yield from (made.present_charge for made in self.made_before)
        for record in (self.record, *self.made_before):
            yield from (_charge_of(take, record) for take in record.takes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTwice:
    """Two POSTs for one job and input, of which neither ledger knows that of the other."""

    job: str
    first: tuple[str, str]
    """The ledger and what names the request there."""
    second: tuple[str, str]

    def __str__(self) -> str:
        (first, request), (second, other) = self.first, self.second
        return f"job {self.job!r}: paid for in {first} ({request}) and in {second} ({other})"


def is_same_post(one: Charge, other: Charge) -> bool:
    """Tell whether two charges are of the same POST.

    A POST in doubt has no request_id; it is known by the moment of its intent.
    """
    if one.request_id and other.request_id:
        return one.request_id == other.request_id
    return one.at is not None and one.at == other.at


def paid_twice(known: Sequence[KnownJob]) -> Iterator[PaidTwice]:
    """Yield each pair of paid POSTs of one job and input that nobody has decided about."""
    for number, one in enumerate(known):
        for other in known[number + 1 :]:
            for first in one.paid():
                yield from _twice(one, first, other)


def _charge_of(take: Take, record: JobRecord) -> Charge:
    return Charge(at=take.submitted_at, request_id=take.request_id, fingerprint=record.fingerprint)


def _twice(one: KnownJob, first: Charge, other: KnownJob) -> Iterator[PaidTwice]:
    if other.knows(first):
        return
    for second in other.paid():
        if second.fingerprint == first.fingerprint and not one.knows(second):
            yield PaidTwice(
                job=one.record.job,
                first=(one.ledger, _request(first)), second=(other.ledger, _request(second)),
            )  # fmt: skip


def _request(charge: Charge) -> str:
    if charge.request_id:
        return f"request {charge.request_id}"
    return f"submitted {charge.at}, without a known answer"


def counting(known: Sequence[KnownJob]) -> KnownJob:
    """Return the one whose record counts for the merged ledger; of equals the first."""
    found = known[0]
    for one in known[1:]:
        if _supersedes(one, found):
            found = one
    return found


def _supersedes(one: KnownJob, found: KnownJob) -> bool:
    if one.is_continued != found.is_continued:
        return found.is_continued
    new, old = one.record, found.record
    is_same = is_same_post(new.present_charge, old.present_charge)
    if not is_same and one.worth != found.worth:
        return one.worth > found.worth
    return new.ts > old.ts


def with_all_charges(counted: JobRecord, others: Iterable[KnownJob]) -> JobRecord:
    """Return the record that counts, with what every ledger says was spent on the job."""
    charges = list(counted.earlier_charges)
    present = counted.present_charge
    for other in others:
        for charge in other.record.all_charges:
            if is_same_post(charge, present) or any(is_same_post(charge, one) for one in charges):
                continue
            if charge.at is None and charge in charges:
                continue
            charges.append(charge)
    if len(charges) == len(counted.earlier_charges):
        return counted
    return with_earlier(counted, tuple(charges))
