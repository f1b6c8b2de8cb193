"""The codec of ledger lines: a record to one line of JSON and back, and the scan for whole lines.

A line ends with a newline. A last line without one is the torn tail: a line that is being written,
or that a crash cut off before anyone was told that it had been written. What to do about a bad
line is decided in `batchgen.ledger`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from batchgen.core.jobs import fingerprint
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord

FORMAT_NAME = "batchgen"
FORMAT_VERSION = 1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Written before the first line by some editors."""


class LedgerHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of a ledger."""

    ledger: str
    v: int
    api: str | None = None
    """Origin of the API that the request_ids belong to."""
    created: str | None = None


class SubmittingLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The model and input that a `submitting` line says were sent."""

    job: str
    fingerprint: str
    model: str
    input: dict[str, Any]

    @property
    def present_fingerprint(self) -> str:
        """What this version computes for it; earlier ones may have written another."""
        return fingerprint(self.model, self.input)

    def is_named(self, fingerprint: str) -> bool:
        """Return whether this names the model and input, as the line does or as it is now."""
        return fingerprint in (self.fingerprint, self.present_fingerprint)


class BadLine(Exception):
    """A line that is not a valid record or header."""


_encoder = msgspec.json.Encoder()
_record_decoder = msgspec.json.Decoder(JobRecord)
_header_decoder = msgspec.json.Decoder(LedgerHeader)
_input_decoder = msgspec.json.Decoder(SubmittingLine)
_IF_KNOWN = ("submitted_at", "finished_at", "price_usd", "cost_usd", "error", "adopted_by")
_IF_SET = (
    "earlier_cost_usd", "earlier_price_usd", "charges", "by", "step", "made_from", "given_up",
    "granted", "files", "takes",
)  # fmt: skip
_known, _set = attrgetter(*_IF_KNOWN), attrgetter(*_IF_SET)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_header(*, api: str | None, created: str) -> bytes:
    """Return the header line of a new ledger; without `api` if that is not known."""
    header = LedgerHeader(ledger=FORMAT_NAME, v=FORMAT_VERSION, api=api, created=created)
    return _encoder.encode(header) + b"\n"


def decode_header(line: bytes) -> LedgerHeader:
    """Read a header. Raises `BadLine` if the line is not a header of this format and version."""
    try:
        header = _header_decoder.decode(line.removeprefix(_BYTE_ORDER_MARK))
    except _UNREADABLE as error:
        raise BadLine(f"not a ledger header ({error})") from None
    if header.ledger != FORMAT_NAME:
        raise BadLine(f"a ledger of {header.ledger!r}, not of {FORMAT_NAME!r}")
    if header.v != FORMAT_VERSION:
        raise BadLine(f"ledger version {header.v}; this program reads version {FORMAT_VERSION}")
    return header


def encode(
    record: JobRecord,
    *,
    model: str | None = None,
    values: Mapping[str, JSONValue] | None = None,
) -> bytes:
    """Return the line of a record; `values` (the input) goes into `submitting` lines."""
    line: dict[str, object] = {
        "ts": record.ts,
        "job": record.job,
        "state": record.state,
        "attempt": record.attempt,
        "request_id": record.request_id,
        "outputs": record.outputs,
    }
    if record.take > 1:
        line["take"] = record.take
    if (named := model or record.model) is not None:
        line["model"] = named
    if values is not None:
        line["input"] = values
    line["fingerprint"] = record.fingerprint
    known = zip(_IF_KNOWN, _known(record), strict=True)
    line.update((key, value) for key, value in known if value is not None)
    line.update((key, value) for key, value in zip(_IF_SET, _set(record), strict=True) if value)
    return _encoder.encode(line) + b"\n"


def decode(line: bytes) -> JobRecord:
    """Read a record, ignoring unknown keys. Raises `BadLine` if the line is not a record."""
    try:
        return _record_decoder.decode(line)
    except _UNREADABLE as error:
        raise BadLine(_why(line, error)) from None


def _why(line: bytes, error: Exception) -> str:
    if b"\0" in line:
        return "it contains NUL bytes, as a power failure leaves them"
    if is_header(line):
        return "a second header; were two ledgers joined?"
    return str(error)


def decode_input(line: bytes) -> SubmittingLine | None:
    """Return what a `submitting` line says was sent; None for any other line."""
    if b'"input"' not in line:
        return None
    try:
        return _input_decoder.decode(line)
    except _UNREADABLE:
        return None


def is_header(line: bytes) -> bool:
    """Tell whether a line is the header of a ledger, of any program and version."""
    try:
        _header_decoder.decode(line)
    except _UNREADABLE:
        return False
    return True


@dataclass(slots=True)
class Position:
    """The place up to which a ledger has been read."""

    offset: int = 0
    """Bytes up to which every line is whole and good."""
    line: int = 0
    """The number of lines up to there, the header included."""


def scan(blocks: Iterator[bytes], position: Position) -> Iterator[bytes]:
    """Yield the whole lines of a ledger, without their newlines, from blocks of any size.

    `position` counts a line once the next one is asked for, so after an exception in the loop it
    still points before the bad line. The bytes behind it at the end are the torn tail.
    """
    begun: list[bytes] = []
    for block in blocks:
        lines = block.split(b"\n")
        begun.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = b"".join(begun)
        begun = [lines.pop()]
        for line in lines:
            yield line
            position.offset += len(line) + 1
            position.line += 1
