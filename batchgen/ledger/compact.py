"""A shorter ledger that says the same.

What stays are lines of the old one, byte for byte and in their order: of each job its last line,
which has its attempts and all that was spent; the `submitting` line of that attempt, which has
its model and input, and the line that first had its request_id, so that one bad line later on costs
a second look and no doubt; and the same three of an earlier input whose output may be wanted again,
with the line that took its place. Of a job that was adopted its beginning and the mark of that. The
rest is history that nothing needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError
from batchgen.core.ledger_codec import Position, decode, scan
from batchgen.core.lifecycle import JobState
from batchgen.ledger.record_index import LineReader
from batchgen.ledger.replay import LEDGER_NAME, Replay, replay
from batchgen.ledger.torn_tail import cut_torn_tail
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import remove_leftovers, replacing

_TRACES = 2
"""Lines that an attempt begins with: its intent, and its request_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """Sizes before and after."""

    lines_before: int
    lines: int
    bytes_before: int
    bytes: int


def compact(run_dir: Path, *, now: str) -> Compacted:
    """Replace the ledger by the shorter one; to be called by the holder of the lock.

    Raises as `replay`, and `LedgerForeign` where there is none.
    """
    path = run_dir / LEDGER_NAME
    old = replay(path)
    if old.header is None:
        raise LedgerForeign(f"{run_dir}: no ledger here; is this the right --run-dir?")
    try:
        if old.torn_bytes:
            cut_torn_tail(old, now)
        remove_leftovers(path)
        with replacing(path) as file:
            _write(old, file)
            file.flush()
            new = replay(Path(file.name))
            _require_same(old, new)
            reached(CrashPoint.COMPACTION_WRITTEN)
        reached(CrashPoint.COMPACTION_RENAMED)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}; it was left as it was") from error
    return Compacted(
        lines_before=old.position.line,
        lines=new.position.line,
        bytes_before=old.position.offset,
        bytes=new.position.offset,
    )


def _write(old: Replay, file: IO[bytes]) -> None:
    assert old.lines is not None, "a ledger with a header is a file"  # noqa: S101
    for offset in (0, *_wanted(old, old.lines)):
        file.write(old.lines.at(offset, old.position.offset) + b"\n")


def _wanted(old: Replay, lines: LineReader) -> list[int]:
    """Offsets of the lines that stay, in order."""
    last, made = set(old.index.last_offsets()), set(old.index.made_offsets())
    begun: dict[str, tuple[int, ...]] = {}
    left_behind: set[str] = set()
    wanted: set[int] = set()
    position = Position()
    for line in scan(lines.blocks(0, old.position.offset), position):
        offset = position.offset
        if offset == 0 or not line.strip():
            continue
        record = decode(line)
        traces = begun.get(record.job, ())
        if record.state is JobState.SUBMITTING and record.adopted_by is None:
            begun[record.job] = (offset,)
        elif record.state is JobState.IN_QUEUE and len(traces) < _TRACES:
            begun[record.job] = (*traces, offset)
        if record.job in left_behind:  # the line that took the place of an output
            left_behind.discard(record.job)
            wanted.add(offset)
        if offset in made:
            left_behind.add(record.job)
        if offset in last or offset in made or record.adopted_by is not None:
            wanted.update((*begun.get(record.job, ()), offset))
    return sorted(wanted)


def _require_same(old: Replay, new: Replay) -> None:
    """Raises `LedgerDamaged` unless both say the same of every job: then nothing is replaced."""
    same = len(old.index) == len(new.index) and all(
        new.index.get(record.job) == record for record in old.index.records()
    )
    earlier = all(
        new.index.made_before(*key) == old.index.made_before(*key) for key in old.index.made_keys()
    )
    if not (same and earlier):
        raise LedgerDamaged(
            f"{old.path}: the compacted ledger would not say the same; it was left as it was."
            " This is a defect of batchgen"
        )
