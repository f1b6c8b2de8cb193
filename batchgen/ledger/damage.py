"""The examination of a ledger: every line is read, and reading continues after a bad one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.errors import LedgerForeign, LedgerMissing
from batchgen.core.ledger_codec import BadLine, decode, decode_header, is_header
from batchgen.core.ledger_salvage import SalvagedFields, salvage
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger.replay import Replay


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedLine:
    """A line that is not a record."""

    line: int
    """From 1, the header included."""
    offset: int
    """Offset of its first byte."""
    data: bytes
    why: str
    salvaged: SalvagedFields
    before: JobRecord | None = None
    """The record of its job before this line, if the line still names one job."""

    @property
    def end(self) -> int:
        """Offset of the line behind it; a missing header takes no bytes."""
        return self.offset + (len(self.data) + 1 if self.data else 0)


@dataclass(slots=True)
class DamageReport(Replay):
    """A whole ledger with everything that is wrong with it.

    If its first line is not a header, `header` is None and that is the first fault.
    """

    faults: list[DamagedLine] = field(default_factory=list)
    unknown_states: int = 0
    """Lines with a state that only a later version knows; they are kept as they are."""

    def __post_init__(self) -> None:
        self.on_record = self._add

    def tail(self) -> bytes:
        """Return the bytes behind the last newline. Raises OSError."""
        return b"".join(self.reader.blocks(self.position.offset, self.size_bytes))

    def _add(self, record: JobRecord, offset: int) -> None:
        self.unknown_states += record.state is JobState.UNKNOWN
        self.index.add_line(record, offset)

    def _take_header(self, line: bytes) -> None:
        """Read the header; a record in the first line is read like any other."""
        try:
            self.header = decode_header(line)
        except BadLine as error:
            if is_header(line):
                raise LedgerForeign(f"{self.path}:1: {error}") from None
            try:
                record = decode(line)
            except BadLine:
                self._take_bad_line(line, "not a ledger header")
            else:
                self._take_bad_line(b"", "the header is missing")
                self._add(record, 0)

    def _take_bad_line(self, line: bytes, why: str) -> None:
        self._check_second_header(line)
        position, salvaged = self.position, salvage(line)
        self.index.set_end(position.offset)
        self.faults.append(
            DamagedLine(
                line=position.line + 1,
                offset=position.offset,
                data=line,
                why=why,
                salvaged=salvaged,
                before=self.index.get(salvaged.job) if salvaged.job is not None else None,
            )
        )

    def _check_second_header(self, line: bytes) -> None:
        """Raise `LedgerForeign` if the lines from here on belong to another ledger."""
        if self.header is None or not is_header(line):
            return
        try:
            second = decode_header(line)
        except BadLine as error:
            what = str(error)
        else:
            if second.api == self.header.api:
                return
            what = f"a second header, of {second.api}, in a ledger of {self.header.api}"
        raise LedgerForeign(
            f"{self.path}:{self.position.line + 1}: {what}; move the lines from here on into a run"
            " directory of their own"
        )


def examine(path: Path) -> DamageReport:
    """Read all of a ledger.

    Raises `LedgerMissing`, `LedgerForeign` for a file of another program or version, and
    `LocalIOError` if it cannot be read.
    """
    found = DamageReport.open(path)
    if not found.reader.has_file:
        raise LedgerMissing(path.parent)
    found.read_on()
    return found
