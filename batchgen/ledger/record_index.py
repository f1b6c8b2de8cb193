"""Lines of a ledger by the offsets at which they begin. Reads only.

What a ledger's lines come to: the present record of each job, and what was made before.

The last line of a job is its record. Memory does not hold it but where it stands: a name, an
offset, a state and a mark of the input, some 170 bytes a job, so that a million jobs fit. Only
what is in flight, or not yet on disk, is held as a record.

Two things are kept besides: an output that was made for an earlier input of a job, in case its
row goes back to that input; and nothing at all of a job that another one has adopted.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from batchgen.core.ledger_codec import decode
from batchgen.core.lifecycle import IN_FLIGHT, PAID_FOR, JobRecord, JobState, adopted

BLOCK_BYTES = 1 << 20
"""Read where all of a ledger is gone through."""
NEAR_BYTES = 4 << 10
"""Read for a line that stands alone."""
FAR_BYTES = 256 << 10
"""Read where lines are asked for one behind the other."""


class LineReader:
    """One open ledger. What is replaced or removed under its name stays readable here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = (0, b"")
        """An offset and the bytes from there on; replaced as one, so that threads may share it."""
        self._size = NEAR_BYTES

    @classmethod
    def open(cls, path: Path) -> LineReader:
        """Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def identity(self) -> tuple[int, int]:
        """Which file this is, whatever its name is by now."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def blocks(self, begin: int, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `begin` to `end`, or to where the file ends by then. Raises OSError."""
        while end is None or begin < end:
            size_bytes = BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - begin)
            block = os.pread(self._fd, size_bytes, begin)
            if not block:
                return
            begin += len(block)
            yield block

    def at(self, offset: int, end: int) -> bytes:
        """The line that begins at `offset`, without its newline; good bytes reach to `end`.

        What lies behind `end` is never kept: it may be cut off and written anew.
        """
        begin, window = self._held
        start = offset - begin
        if 0 <= start < len(window):
            newline = window.find(b"\n", start)
            if newline >= 0:
                return window[start:newline]
        goes_on = 0 <= start - len(window) + NEAR_BYTES < FAR_BYTES
        size = self._size = min(FAR_BYTES, self._size * 4) if goes_on else NEAR_BYTES
        return self._read(offset, end, size)

    def _read(self, offset: int, end: int, size_bytes: int) -> bytes:
        while True:
            window = os.pread(self._fd, min(size_bytes, end - offset), offset)
            if b"\n" in window or size_bytes >= end - offset:
                self._held = (offset, window)
                return window[: window.index(b"\n")]
            size_bytes *= 4


_STATES = tuple(JobState)
_CODES = {state: code for code, state in enumerate(_STATES)}
_PAID = bytes(state in PAID_FOR for state in _STATES)
_GONE = len(_STATES)
"""Instead of a state: this name was adopted, its line says nothing any more."""
_NOWHERE = -1
"""Instead of an offset: not on disk yet."""
_HELD = IN_FLIGHT | {JobState.SUBMITTING}
"""States whose next event is near, so that the record stays at hand."""


class RecordIndex:
    """Records by job (port `Records`)."""

    def __init__(self, lines: LineReader | None = None) -> None:
        self._lines = lines
        self._end = 0
        self._rows: dict[str, int] = {}
        self._jobs: list[str] = []
        self._offsets = array("q")
        self._codes = bytearray()
        self._marks = array("q")
        self._fresh: dict[str, JobRecord] = {}
        self._made: dict[tuple[str, str], int | JobRecord] = {}

    def __len__(self) -> int:
        return len(self._rows)

    # Taking in.

    def learn(self, record: JobRecord, offset: int) -> None:
        """Take in the next line of the ledger, which stands at `offset`."""
        self._put(record, offset)
        if self._fresh:
            self._fresh.pop(record.job, None)

    def reaches(self, end: int) -> None:
        """Every line below `end` is whole and may be read."""
        self._end = end

    def keep(self, record: JobRecord) -> None:
        """Take in a record that is on its way to disk, or is to be on none."""
        self._put(record, _NOWHERE)
        if record.adopted_by is None:
            self._fresh[record.job] = record

    def settle(self, record: JobRecord, offset: int, end: int) -> None:
        """The line of this record is on disk, from `offset` to `end`."""
        self._end = max(self._end, end)
        if self._fresh.get(record.job) is record:
            self._offsets[self._rows[record.job]] = offset
            if record.state not in _HELD:
                del self._fresh[record.job]

    def adopt(self, old: str, new: str) -> None:
        """Let `new` go on with what is known of `old`, here only; `RunLedger.adopt` writes it."""
        record = self.get(old)
        if record is not None:
            taken, left = adopted(record, job=new, ts=record.ts)
            self.keep(taken)
            self.keep(left)

    def _put(self, record: JobRecord, offset: int) -> None:
        mark = hash(record.fingerprint)
        row = self._rows.get(record.job)
        if row is None:
            if record.adopted_by is None:
                self._rows[record.job] = len(self._jobs)
                self._jobs.append(record.job)
                self._offsets.append(offset)
                self._codes.append(_CODES[record.state])
                self._marks.append(mark)
            return
        if mark != self._marks[row] and _PAID[self._codes[row]]:
            self._end = max(self._end, offset)  # while reading: every earlier line is whole
            before = self._record(row)
            place = self._offsets[row]
            self._made[before.job, before.fingerprint] = before if place == _NOWHERE else place
        if record.adopted_by is not None:
            self._codes[row] = _GONE
            del self._rows[record.job]
            self._fresh.pop(record.job, None)
            return
        self._offsets[row] = offset
        self._codes[row] = _CODES[record.state]
        self._marks[row] = mark

    # Giving out.

    def get(self, job: str) -> JobRecord | None:
        """The record of a job, if anything is known of it."""
        row = self._rows.get(job)
        return None if row is None else self._record(row)

    def records(self, *states: JobState) -> Iterator[JobRecord]:
        """The records in these states (none named: all), in the order in which jobs were met."""
        wanted = {_CODES[state] for state in states or JobState}
        for row, code in enumerate(self._codes):
            if code in wanted:
                yield self._record(row)

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """An earlier record of this job with this input and an output."""
        place = self._made.get((job, fingerprint)) if self._made else None
        return self._read(place) if isinstance(place, int) else place

    def made_keys(self) -> Iterator[tuple[str, str]]:
        """What `made_before` has an answer for."""
        return iter(self._made)

    def offset_of(self, job: str) -> int:
        """Where the last line of a job begins; -1 where there is none."""
        row = self._rows.get(job)
        return _NOWHERE if row is None else self._offsets[row]

    def last_offsets(self) -> Iterator[int]:
        """Where the last line of each job begins."""
        return (self._offsets[row] for row in self._rows.values())

    def made_offsets(self) -> Iterator[int]:
        """Where the lines begin that `made_before` needs."""
        return (place for place in self._made.values() if isinstance(place, int))

    def _record(self, row: int) -> JobRecord:
        fresh = self._fresh.get(self._jobs[row]) if self._fresh else None
        return fresh or self._read(self._offsets[row])

    def _read(self, offset: int) -> JobRecord:
        assert self._lines is not None, "a line on disk has a file"  # noqa: S101
        return decode(self._lines.at(offset, self._end))
