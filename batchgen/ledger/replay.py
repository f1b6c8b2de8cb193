"""From the bytes of a ledger to what is known of every job. Reads only.

The life of one job, as the ledger tells it line by line. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError
from batchgen.core.ledger_codec import BadLine, LedgerHeader, Position, decode, decode_header, scan
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.record_index import LineReader, RecordIndex

LEDGER_NAME = "ledger.jsonl"


@dataclass(slots=True)
class Replay:
    """What a ledger says, as far as it was read."""

    path: Path
    lines: LineReader | None = None
    """None where there is no ledger."""
    header: LedgerHeader | None = None
    """None where there is no ledger, or nothing whole in it yet."""
    index: RecordIndex = field(default_factory=RecordIndex)
    hear: Callable[[JobRecord, int], None] | None = None
    """Told each record with the offset of its line, instead of the memory."""
    position: Position = field(default_factory=Position)
    size_bytes: int = 0

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last newline."""
        return self.size_bytes - self.position.offset

    def read_on(self) -> None:
        """Take in what was appended since. Raises like `replay`."""
        try:
            _read(self)
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error

    @property
    def is_current(self) -> bool:
        """Whether it is still the ledger: not replaced (compaction), nor cut below what was read.

        A torn tail that is cut is no such cut, because nobody has read it yet.
        """
        try:
            now = self.path.stat()
        except OSError:
            return self.lines is None
        is_same = self.lines is not None and self.lines.identity == (now.st_dev, now.st_ino)
        return is_same and now.st_size >= self.position.offset


def replay(path: Path) -> Replay:
    """Read a ledger to its end.

    Raises `LedgerDamaged` for a bad line that is not the torn tail, `LedgerForeign` for a file
    of another program or version, `LocalIOError` where it cannot be read.
    """
    state = Replay(path=path, lines=_open(path))
    state.index = RecordIndex(state.lines)
    state.read_on()
    return state


def follow(path: Path, hear: Callable[[JobRecord, int], None]) -> Replay:
    """A ledger of which nothing is kept: `read_on` tells each record that is new.

    A ledger that is not there yet is an empty one. Raises `LocalIOError`.
    """
    return Replay(path=path, lines=_open(path), hear=hear)


def _open(path: Path) -> LineReader | None:
    try:
        return LineReader.open(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error


def _read(state: Replay) -> None:
    position, learn = state.position, state.hear or state.index.learn
    lines = scan(_counted(state), position)
    if state.header is None:
        first = next(lines, None)
        if first is None:
            return
        state.header = _header(state, first)
    for line in lines:
        try:
            record = decode(line)
        except BadLine as error:
            if not line.strip():
                continue  # an editor's: it says nothing, and nothing of it is lost
            raise LedgerDamaged(_damage(state, line, error)) from None
        learn(record, position.offset)
    state.index.reaches(position.offset)


def _counted(state: Replay) -> Iterator[bytes]:
    """The file from where reading ended; `size_bytes` grows as it is read."""
    state.size_bytes = state.position.offset
    for block in state.lines.blocks(state.size_bytes) if state.lines else ():
        state.size_bytes += len(block)
        yield block


def _header(state: Replay, line: bytes) -> LedgerHeader:
    try:
        return decode_header(line)
    except BadLine as error:
        raise LedgerForeign(f"{state.path}:1: {error}; is this the right --run-dir?") from None


def _damage(state: Replay, line: bytes, error: BadLine) -> str:
    start = line[:60].decode("utf-8", "backslashreplace")
    return (
        f"{state.path}:{state.position.line + 1}: damaged line ({error}): {start!r}; nothing was"
        f" changed. Look at it with: batchgen ledger verify --run-dir {state.path.parent}"
        f" - and mend it with: batchgen ledger repair --run-dir {state.path.parent}"
    )


def story_of(run_dir: Path, job: str) -> list[tuple[bytes, JobRecord]]:
    """The lines of a job, each with its record, in their order. Raises as `replay`."""
    found: list[tuple[int, JobRecord]] = []

    def hear(record: JobRecord, offset: int) -> None:
        if record.job == job:
            found.append((offset, record))

    told = follow(run_dir / LEDGER_NAME, hear)
    told.read_on()
    if told.lines is None:
        return []
    end = told.position.offset
    return [(told.lines.at(offset, end), record) for offset, record in found]
