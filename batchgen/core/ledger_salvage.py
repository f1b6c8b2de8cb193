"""The salvage of a damaged ledger line: its readable fields, and the record its job needs instead.

Most lost lines are harmless: the lines before them lead to another poll, to another download, or to
a doubt. Harm comes from one case only, a lost line that was the trace of a submission, because its
row would look as if nothing had been paid for. So that is what is put back: the request_id if it
can still be read, or else a doubt for the user to resolve.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from batchgen.core.events import Accepted, AnswerLost, ErrorKind, Intended, JobError
from batchgen.core.ledger_codec import BadLine, decode
from batchgen.core.lifecycle import PAID_FOR, REDONE, JobRecord, JobState, apply

SMALLEST_LINE_BYTES = 80
"""Fewer bytes than the shortest record: a hole of this size may have been a whole one."""

_TEXT = rb'"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.)*")'
_JOB, _STATE, _REQUEST, _FINGERPRINT = (
    re.compile(b'"' + key + _TEXT) for key in (b"job", b"state", b"request_id", b"fingerprint")
)
_PRICE = re.compile(rb'"price_usd"\s*:\s*(\d+(?:\.\d+)?(?:e-?\d+)?)')
_TAKE = re.compile(rb'"take"\s*:\s*(\d{1,9})\b')
_HOLE = re.compile(rb"\x00{%d,}" % SMALLEST_LINE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvagedFields:
    """The fields that can still be read of a damaged line."""

    jobs: tuple[str, ...] = ()
    """The names in it; more than one if lines ran into each other."""
    state: str | None = None
    request_id: str | None = None
    fingerprint: str = ""
    price_usd: float | None = None
    take: int | None = None
    """None also in the line of a first take, which does not name it."""
    is_harmless: bool = False
    """It was never a record: valid JSON that names no job, or plain text."""
    has_hole: bool = False
    """Whole lines may be missing in it."""

    @property
    def job(self) -> str | None:
        """The job that it is about, if that is certain."""
        return self.jobs[0] if len(set(self.jobs)) == 1 and not self.has_hole else None


def salvage(line: bytes) -> SalvagedFields:
    """Read what can still be read of a damaged line; never raises."""
    jobs = tuple(name for text in _JOB.findall(line) if (name := _text(text)) is not None)
    price, take = _PRICE.search(line), _TAKE.search(line)
    return SalvagedFields(
        jobs=jobs,
        state=_first(_STATE, line),
        request_id=_first(_REQUEST, line),
        fingerprint=_first(_FINGERPRINT, line) or "",
        price_usd=float(price[1]) if price else None,
        take=int(take[1]) if take else None,
        is_harmless=not jobs and (_is_json(line) or _was_never_record(line)),
        has_hole=_HOLE.search(line) is not None,
    )


def records_in(line: bytes) -> Sequence[bytes]:
    """Return the lines that ran into each other in this one; none unless all of it is records."""
    try:
        text = line.decode()
        begin, found = 0, []
        while begin < len(text):
            _, end = json.JSONDecoder().raw_decode(text, begin)
            found.append(text[begin:end].encode())
            begin = end + len(text[end:]) - len(text[end:].lstrip())
        for record in found:
            decode(record)
    except (ValueError, RecursionError, BadLine):
        return ()
    return found


def put_back(
    before: JobRecord | None, salvaged: SalvagedFields, *, job: str, ts: str, aside: str
) -> JobRecord | None:
    """Return the record that a job needs because its last line is damaged; None if it needs none.

    `before` is its last good record. `aside` names the file with the damaged line.
    """
    found = salvaged.request_id
    if found is not None and before is not None and found == before.request_id:
        return None
    if before is not None and before.state is JobState.SUBMITTING:
        return apply(before, Accepted(request_id=found), job=job, ts=ts) if found else None
    if not _may_be_submission(before, salvaged):
        return None
    fingerprint = _fingerprint(before, salvaged)
    price_usd = salvaged.price_usd
    if price_usd is None and before is not None:
        price_usd = before.price_usd
    take = _take(before, salvaged) if before and before.fingerprint == fingerprint else 1
    intent = Intended(model="", input={}, fingerprint=fingerprint, take=take, price_usd=price_usd)
    submitting = apply(before, intent, job=job, ts=ts)
    if found is not None:
        return apply(submitting, Accepted(request_id=found), job=job, ts=ts)
    message = f"its line in the ledger was damaged; what is left of it is in {aside}"
    error = JobError(kind=ErrorKind.DAMAGED, message=message)
    return apply(submitting, AnswerLost(error=error), job=job, ts=ts)


def _may_be_submission(before: JobRecord | None, salvaged: SalvagedFields) -> bool:
    """Tell whether a lost line can have been the only trace of a submission."""
    if salvaged.state == JobState.PENDING:
        return False
    if before is None:
        return True
    if before.state in PAID_FOR:
        return salvaged.fingerprint != before.fingerprint or _is_next_take(before, salvaged)
    return before.state in (JobState.PENDING, JobState.FAILED, JobState.CANCELLED) or (
        before.state is JobState.IN_DOUBT and (salvaged.request_id is not None or before.granted)
    )


def _is_next_take(before: JobRecord, salvaged: SalvagedFields) -> bool:
    """Tell whether a lost line, of an input that is on disk, can be that of its next take."""
    if before.state not in REDONE:
        return False
    is_other_state = salvaged.state not in (None, *PAID_FOR)
    return is_other_state if salvaged.take is None else salvaged.take > before.take


def _take(before: JobRecord, salvaged: SalvagedFields) -> int:
    """Return the take that the lost attempt was for, among those that could follow."""
    is_next = before.state in PAID_FOR or (salvaged.take or 0) > before.take
    return before.take + 1 if is_next and before.state in REDONE else before.take


def _fingerprint(before: JobRecord | None, salvaged: SalvagedFields) -> str:
    """Return the fingerprint of the lost attempt.

    If it cannot be read, it is not that of an attempt with an output, which is never submitted
    again.
    """
    if salvaged.fingerprint or before is None:
        return salvaged.fingerprint
    return "unreadable" if before.state in PAID_FOR else before.fingerprint


def _first(pattern: re.Pattern[bytes], line: bytes) -> str | None:
    match = pattern.search(line)
    return _text(match[1]) if match else None


def _text(quoted: bytes) -> str | None:
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _was_never_record(line: bytes) -> bool:
    """Tell whether a line is a broken header, or plain text without a bracket or a quote."""
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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
