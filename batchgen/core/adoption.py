"""Adoption: the jobs of the ledger that rows with a new name take over.

A row without an id is named by a digest of its input. If somebody adds an id column later, every
row has a new name, and nothing that exists under the old one may be paid for again. So it is with
names that an earlier version took as they were written, or computed in another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from batchgen.core.canonical_input import canonical_text
from batchgen.core.jobs import Batch, Job
from batchgen.core.lifecycle import JobRecord, JobState, Records

_DIGEST = re.compile("[0-9a-f]{16}")
"""The name of a row without an id."""
_OVER = (JobState.PENDING, JobState.DOWNLOADED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Adoptions:
    """The jobs without a row that rows with another name take over."""

    now: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of job ids, old and new."""
    later: dict[str, str] = field(default_factory=dict)
    """New job -> old job, of rows whose own job is open: it has to end first."""


def adoptions(batch: Batch, records: Records) -> Adoptions:
    """Decide which rows take over a job.

    A job that no row claims goes to a row that has its name in other bytes, or else its
    input (or an earlier one that has an output), and nothing on record for that input. A row claims
    the job of its id also if it is not selected, or is wrong at the moment.
    """
    without_row = unclaimed(batch, records)
    by_name = _same_names(without_row, batch, records)
    found = Adoptions([(old, new) for new, old in by_name.items()])
    by_input = _by_input(without_row.difference(by_name.values()), records)
    if not by_input:
        return found
    taken: set[str] = set()
    for job in batch.jobs():
        if job.id in by_name or job.fingerprint not in by_input or _has_own(job, records):
            continue
        candidates = by_input[job.fingerprint]
        while candidates:
            if (old := candidates.pop()) not in taken:
                taken.add(old)
                _add(found, old, job, records)
                break
    return found


def adoption_rounds(batch: Batch, records: Records, *, has_steps: bool) -> Iterator[Adoptions]:
    """Yield which rows take over a job, round by round; the caller adopts between them.

    The job of a step is known by the job before it. So with steps, a round may make jobs of the
    next step known by their new names.
    """
    while True:
        found = adoptions(batch, records)
        yield found
        if not (has_steps and found.now):
            return


def _add(found: Adoptions, old: str, job: Job, records: Records) -> None:
    if _is_open(records.get(job.id)):
        found.later[job.id] = old
    else:
        found.now.append((old, job.id))


def _by_input(free: Set[str], records: Records) -> dict[str, list[str]]:
    """Return jobs by what was submitted for them; those that have it as their present input last.

    The others have an output of an earlier input, which is used again.
    """
    found: dict[str, list[str]] = {}
    for job_id, fingerprint in sorted(records.made_before_keys(), reverse=True):
        if job_id in free and records.made_before(job_id, fingerprint) is not None:
            found.setdefault(fingerprint, []).append(job_id)
    for job_id in sorted(free, reverse=True):
        record = records.get(job_id)
        if record is not None and record.state is not JobState.PENDING:
            found.setdefault(record.fingerprint, []).append(job_id)
    return found


def _same_names(without_row: Iterable[str], batch: Batch, records: Records) -> dict[str, str]:
    """Return the names of new rows that a job has in other bytes, each with that job."""
    spelled = {canonical_text(job): job for job in sorted(without_row, reverse=True)}
    spelled = {name: job for name, job in spelled.items() if name != job}
    if not spelled:
        return spelled
    rows = (job.id for job in batch.jobs() if job.id in spelled and _is_new(records.get(job.id)))
    return {name: spelled[name] for name in rows}


def unclaimed(batch: Batch, records: Records) -> set[str]:
    """Return the jobs on record that no row of the manifest has any more."""
    found = set(records.jobs())
    if found:
        found.difference_update(batch.ids())
    if not found:
        return found
    left_out = frozenset(batch.left_out())
    return {job for job in found if not _is_claimed(canonical_text(job), left_out)}


def _is_claimed(job: str, left_out: frozenset[str]) -> bool:
    """Tell whether a row that is left out has this job: `id`, or `id~...` for a copy of it.

    All jobs of a row without an id are known: a copy of a digest may be that of another row, and is
    claimed only under its own name.
    """
    names = (job[:end] for end, letter in enumerate(job) if letter == "~")
    return job in left_out or any(
        name in left_out and not _DIGEST.fullmatch(name) for name in names
    )


def _is_new(record: JobRecord | None) -> bool:
    """Tell whether nothing was ever accepted for the present input of a job."""
    return record is None or (record.state is JobState.PENDING and not record.attempts)


def _has_own(job: Job, records: Records) -> bool:
    """Tell whether the row of this job has something on record for its present input."""
    record = records.get(job.id)
    if record is None or _is_new(record):
        return False
    is_same = record.fingerprint in ("", job.fingerprint)
    return is_same or records.made_before(job.id, job.fingerprint) is not None


def _is_open(record: JobRecord | None) -> bool:
    """Tell whether a job is paid for, or may be, and something is still to be done about it."""
    if record is None or _is_new(record):
        return False
    is_over = record.state in _OVER or (record.state is JobState.COMPLETED and record.given_up)
    return record.granted or not is_over


def record_named(name: str, records: Records) -> JobRecord | None:
    """Return the record of the job that is called so in other bytes."""
    return next((one for one in records.records() if canonical_text(one.job) == name), None)


def with_present_names(names: Iterable[str], batch: Batch) -> frozenset[str]:
    """Return these names of jobs with what their rows are called now, if that is another name."""
    known = {spelling for name in names for spelling in (name, canonical_text(name))}
    known.update(job.id for job in batch.jobs() if not known.isdisjoint(_first_names(job)))
    return frozenset(known)


def _first_names(job: Job) -> Iterator[str]:
    """Yield the name of a row without an id by the first versions."""
    present = job.fingerprint
    if job.id.startswith(present):
        yield job.first_fingerprint + job.id.removeprefix(present)
