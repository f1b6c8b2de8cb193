"""What is wrong with a ledger: every line is read, and reading goes on behind a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.errors import LedgerForeign, LocalIOError
from batchgen.core.ledger_codec import (
    BadLine,
    LedgerHeader,
    Position,
    decode,
    decode_header,
    is_header,
    scan,
)
from batchgen.core.ledger_salvage import SalvagedFields, remains_of
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger.record_index import LineReader, RecordIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedLine:
    """A line that is no record."""

    line: int
    """From 1, the header included."""
    offset: int
    """Byte at which it begins."""
    data: bytes
    why: str
    remains: SalvagedFields
    before: JobRecord | None = None
    """What was known of its job before it, if it still says which."""


@dataclass(slots=True)
class DamageReport:
    """A whole ledger, with all that is wrong with it."""

    path: Path
    lines: LineReader
    header: LedgerHeader | None = None
    """None where the first line is none; then it is the first fault."""
    index: RecordIndex = field(default_factory=RecordIndex)
    position: Position = field(default_factory=Position)
    size_bytes: int = 0
    faults: list[DamagedLine] = field(default_factory=list)
    unknown_states: int = 0
    """Lines with a state that only a later version knows; they are kept as they are."""

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last newline: a line that is being written, or what a crash left."""
        return self.size_bytes - self.position.offset

    def tail(self) -> bytes:
        """Those bytes. Raises OSError."""
        return b"".join(self.lines.blocks(self.position.offset, self.size_bytes))


def examine(path: Path) -> DamageReport:
    """Read all of it.

    Raises `LedgerForeign` for a file of another program or version, or where there is none, and
    `LocalIOError` where it cannot be read.
    """
    try:
        lines = LineReader.open(path)
        found = DamageReport(path=path, lines=lines, index=RecordIndex(lines))
        _read(found)
    except FileNotFoundError:
        message = f"{path.parent}: no ledger here; is this the right --run-dir?"
        raise LedgerForeign(message) from None
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    return found


def _read(found: DamageReport) -> None:
    position, learn = found.position, found.index.learn
    for line in scan(_counted(found), position):
        if position.line == 0 and _take_header(found, line):
            continue
        try:
            record = decode(line)
        except BadLine as error:
            if line.strip():
                _take_fault(found, line, str(error))
            continue
        found.unknown_states += record.state is JobState.UNKNOWN
        learn(record, position.offset)
    found.index.reaches(position.offset)


def _counted(found: DamageReport) -> Iterator[bytes]:
    for block in found.lines.blocks(0):
        found.size_bytes += len(block)
        yield block


def _take_header(found: DamageReport, line: bytes) -> bool:
    """Whether the first line is done with; a record there is read like any other."""
    try:
        found.header = decode_header(line)
    except BadLine as error:
        if is_header(line):
            raise LedgerForeign(f"{found.path}:1: {error}") from None
        try:
            decode(line)
        except BadLine:
            _take_fault(found, line, "not a ledger header")
            return True
        _take_fault(found, b"", "the header is missing")
        return False
    return True


def _take_fault(found: DamageReport, line: bytes, why: str) -> None:
    position, remains = found.position, remains_of(line)
    found.index.reaches(position.offset)
    found.faults.append(
        DamagedLine(
            line=position.line + 1,
            offset=position.offset,
            data=line,
            why=_foreign(found, line) or why,
            remains=remains,
            before=found.index.get(remains.job) if remains.job is not None else None,
        )
    )


def _foreign(found: DamageReport, line: bytes) -> str:
    """Raises `LedgerForeign` where from here on the lines are not this ledger's."""
    if found.header is None or not is_header(line):
        return ""
    try:
        second = decode_header(line)
    except BadLine as error:
        what = str(error)
    else:
        if second.api == found.header.api:
            return ""
        what = f"a second header, of {second.api}, in a ledger of {found.header.api}"
    raise LedgerForeign(
        f"{found.path}:{found.position.line + 1}: {what}; take the lines from here on into a run"
        " directory of their own"
    )
