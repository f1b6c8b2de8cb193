"""From the bytes of a ledger to what is known of every job. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.codec import BadLine, Header, Position, decode, decode_header, scan
from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError
from batchgen.ledger.memory import Memory

LEDGER_NAME = "ledger.jsonl"
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Replay:
    """What a ledger says."""

    path: Path
    header: Header | None = None
    """None where there is no ledger, or nothing whole in it yet."""
    memory: Memory = field(default_factory=Memory)
    position: Position = field(default_factory=Position)
    size_bytes: int = 0

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last newline."""
        return self.size_bytes - self.position.offset


def replay(path: Path) -> Replay:
    """Read a ledger to its end.

    Raises `LedgerDamaged` for a bad line that is not the torn tail, `LedgerForeign` for a file
    of another program or version, `LocalIOError` where it cannot be read.
    """
    state = Replay(path=path)
    try:
        with path.open("rb") as file:
            _read(state, iter(lambda: file.read(_BLOCK_BYTES), b""))
    except FileNotFoundError:
        return state
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    return state


def _read(state: Replay, blocks: Iterator[bytes]) -> None:
    keep = state.memory.keep
    for line in scan(_counted(state, blocks), state.position):
        if state.header is None:
            state.header = _header(state, line)
            continue
        try:
            record = decode(line)
        except BadLine as error:
            raise LedgerDamaged(_damage(state, line, error)) from None
        keep(record)


def _counted(state: Replay, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        state.size_bytes += len(block)
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
        f" changed. Keep a copy, then mend it with: batchgen ledger repair --run-dir"
        f" {state.path.parent}"
    )
