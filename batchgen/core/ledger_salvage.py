"""What a damaged ledger line still tells, and what has to be put on record because of it.

Most lost lines are harmless: the lines before them lead to another look, to another download, or
to a doubt. Harm comes from one case only, a lost line that was the trace of a submission, because
its row would look as if nothing had been paid for. So that is what is put back: the request_id,
where it can still be read, else a doubt for a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from batchgen.core.events import Accepted, AnswerLost, ErrorKind, Intended, JobError
from batchgen.core.ledger_codec import BadLine, decode
from batchgen.core.lifecycle import PAID_FOR, JobRecord, JobState, apply

SMALLEST_LINE_BYTES = 80
"""Fewer bytes than the shortest record: a hole of this size can have swallowed a whole one."""

_TEXT = rb'"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.)*")'
_JOB, _STATE, _REQUEST, _FINGERPRINT = (
    re.compile(b'"' + key + _TEXT) for key in (b"job", b"state", b"request_id", b"fingerprint")
)
_PRICE = re.compile(rb'"price_usd"\s*:\s*([0-9.]+)')
_HOLE = re.compile(rb"\x00{%d,}" % SMALLEST_LINE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvagedFields:
    """What can still be read of a damaged line."""

    jobs: tuple[str, ...] = ()
    """Names that stand in it; more than one where lines ran into each other."""
    state: str | None = None
    request_id: str | None = None
    fingerprint: str = ""
    price_usd: float | None = None
    is_harmless: bool = False
    """It was never a record: whole JSON that names no job, or plain text."""
    has_hole: bool = False
    """Whole lines may be missing in it, of which nothing is left."""

    @property
    def job(self) -> str | None:
        """The one job that it is about, if that is certain."""
        return self.jobs[0] if len(set(self.jobs)) == 1 and not self.has_hole else None


def remains_of(line: bytes) -> SalvagedFields:
    """Read what there is to read; never raises."""
    jobs = tuple(name for text in _JOB.findall(line) if (name := _text(text)) is not None)
    price = _PRICE.search(line)
    return SalvagedFields(
        jobs=jobs,
        state=_first(_STATE, line),
        request_id=_first(_REQUEST, line),
        fingerprint=_first(_FINGERPRINT, line) or "",
        price_usd=_number(price[1]) if price else None,
        is_harmless=not jobs and (_is_json(line) or _is_no_record(line)),
        has_hole=_HOLE.search(line) is not None,
    )


def records_in(line: bytes) -> Sequence[bytes]:
    """The records of a line in which several stand behind each other; none unless it is all."""
    try:
        text = line.decode()
        begin, found = 0, []
        while begin < len(text):
            _, end = json.JSONDecoder().raw_decode(text, begin)
            found.append(text[begin:end].encode())
            begin = end + len(text[end:]) - len(text[end:].lstrip())
        for one in found:
            decode(one)
    except (ValueError, RecursionError, BadLine):
        return ()
    return found


def put_back(
    before: JobRecord | None, remains: SalvagedFields, *, job: str, ts: str, aside: str
) -> JobRecord | None:
    """The record that a job needs because its last line is damaged; None: it needs none.

    `before` is its last good record. `aside` says where the damaged line is kept.
    """
    found = remains.request_id
    if found is not None and before is not None and found == before.request_id:
        return None
    if before is not None and before.state is JobState.SUBMITTING:
        return apply(before, Accepted(request_id=found), job=job, ts=ts) if found else None
    if not _may_follow(before, remains):
        return None
    intent = Intended(
        model="", input={}, fingerprint=_other(before, remains), price_usd=remains.price_usd
    )
    begun = apply(before, intent, job=job, ts=ts)
    if found is not None:
        return apply(begun, Accepted(request_id=found), job=job, ts=ts)
    message = f"its line in the ledger was damaged; what is left of it is in {aside}"
    error = JobError(kind=ErrorKind.DAMAGED, message=message)
    return apply(begun, AnswerLost(error=error), job=job, ts=ts)


def _may_follow(before: JobRecord | None, remains: SalvagedFields) -> bool:
    """Whether the lost line can have been the trace of a submission that nothing else shows."""
    if remains.state == JobState.PENDING:
        return False
    if before is None:
        return True
    if before.state in PAID_FOR:
        return remains.fingerprint != before.fingerprint
    return before.state in (JobState.PENDING, JobState.FAILED, JobState.CANCELLED) or (
        before.state is JobState.IN_DOUBT and remains.request_id is not None
    )


def _other(before: JobRecord | None, remains: SalvagedFields) -> str:
    """The fingerprint of the lost attempt; unreadable, it is surely not that of a paid one."""
    if remains.fingerprint or before is None:
        return remains.fingerprint
    return "unreadable" if before.state in PAID_FOR else before.fingerprint


def _first(pattern: re.Pattern[bytes], line: bytes) -> str | None:
    match = pattern.search(line)
    return _text(match[1]) if match else None


def _text(quoted: bytes) -> str | None:
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _number(digits: bytes) -> float | None:
    try:
        return float(digits)
    except ValueError:
        return None


def _is_no_record(line: bytes) -> bool:
    """A broken header, or plain text that has not even a bracket or a quote of a record in it."""
    if line.removeprefix(b"\xef\xbb\xbf").startswith(b'{"ledger"') and b"\0" not in line:
        return True
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    return text.replace("\t", " ").strip().isprintable() and not any(c in text for c in '{}[]"')


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
