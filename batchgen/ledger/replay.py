"""From the bytes of a ledger to what is known of every job. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.codec import BadLine, Header, Position, decode, decode_header, scan
from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError
from batchgen.ledger.lines import LineFile
from batchgen.ledger.memory import Memory

LEDGER_NAME = "ledger.jsonl"
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Replay:
    """What a ledger says, as far as it was read."""

    path: Path
    lines: LineFile | None = None
    """None where there is no ledger."""
    header: Header | None = None
    """None where there is no ledger, or nothing whole in it yet."""
    memory: Memory = field(default_factory=Memory)
    position: Position = field(default_factory=Position)
    size_bytes: int = 0

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last newline."""
        return self.size_bytes - self.position.offset

    def read_on(self) -> bool:
        """Take in what was appended since; whether there was anything. Raises like `replay`."""
        before = self.position.offset
        try:
            _read(self)
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error
        return self.position.offset > before

    @property
    def is_current(self) -> bool:
        """Whether the file that was read is still the one of that name."""
        try:
            status = self.path.stat()
        except OSError:
            return self.lines is None
        return self.lines is not None and self.lines.identity == (status.st_dev, status.st_ino)


def replay(path: Path) -> Replay:
    """Read a ledger to its end.

    Raises `LedgerDamaged` for a bad line that is not the torn tail, `LedgerForeign` for a file
    of another program or version, `LocalIOError` where it cannot be read.
    """
    try:
        lines = LineFile.open(path)
    except FileNotFoundError:
        return Replay(path=path)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    state = Replay(path=path, lines=lines, memory=Memory(lines))
    state.read_on()
    return state


def _read(state: Replay) -> None:
    position, memory = state.position, state.memory
    learn = memory.learn
    lines = scan(_blocks(state), position)
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
    memory.reaches(position.offset)


def _blocks(state: Replay) -> Iterator[bytes]:
    """The file from where reading ended; `size_bytes` grows as it is read."""
    offset = state.position.offset
    while state.lines is not None and (block := state.lines.block(offset, _BLOCK_BYTES)):
        offset += len(block)
        state.size_bytes = offset
        yield block


def _header(state: Replay, line: bytes) -> Header:
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
