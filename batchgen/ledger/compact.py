"""The compaction of a ledger: a shorter ledger that says the same.

The new ledger is a subset of the old lines, byte for byte and in their order. These stay:

- of each job its last line, which has its attempts and everything that was spent
- the `submitting` line of that attempt, which has its model and input, and the line that first had
  its request_id, so that a line that goes bad later costs another poll and leaves no doubt
- the same three of an earlier input whose output may be wanted again, and the line that replaced
  it
- of an adopted job its first lines and the line that says so
- all lines of the job with the highest cost of each model, which is the price of later jobs, unless
  its last line says it

The rest is history that nothing needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from batchgen.core.errors import LedgerDamaged, LedgerMissing, LocalIOError
from batchgen.core.ledger_codec import Position, decode, scan
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger.replay import Replay, replay
from batchgen.ledger.run_ledger import cut_torn_tail
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import remove_leftovers, replacing
from batchgen.system.run_directory import RunDirectory

_FIRST_LINES = 2
"""An attempt begins with its intent and its request_id."""


def compact(run_dir: Path, *, now: str) -> tuple[Position, Position]:
    """Replace the ledger by the shorter one; only for the holder of the lock.

    Returns the ends of the old and the new ledger. Raises as `replay`, and `LedgerMissing`.
    """
    path = RunDirectory(run_dir).ledger
    old = replay(path)
    if old.header is None:
        raise LedgerMissing(run_dir)
    try:
        if old.torn_bytes:
            cut_torn_tail(old, now)
        remove_leftovers(path)
        with replacing(path) as file:
            _write(old, file)
            file.flush()
            new = replay(Path(file.name), old.earlier)
            _check_equal(old, new)
            reached(CrashPoint.COMPACTION_WRITTEN)
        reached(CrashPoint.COMPACTION_RENAMED)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}; it was left as it was") from error
    return old.position, new.position


def _write(old: Replay, file: IO[bytes]) -> None:
    for offset in (0, *_offsets_to_keep(old)):
        file.write(old.reader.line_at(offset, old.position.offset) + b"\n")


def _offsets_to_keep(old: Replay) -> list[int]:
    """Return the offsets of the lines that stay, in order."""
    costliest = {
        job
        for model, job in old.index.costliest.items()
        if not _says(old.index.get(job), old.index.highest_usd[model])
    }
    last, made_before = set(old.index.last_offsets()), set(old.index.made_before_offsets())
    first_lines: dict[str, tuple[int, ...]] = {}
    replaced_next: set[str] = set()
    kept: set[int] = set()
    position = Position()
    for line in scan(old.reader.blocks(0, old.position.offset), position):
        offset = position.offset
        if offset == 0 or not line.strip():
            continue
        record = decode(line)
        begun = first_lines.get(record.job, ())
        if record.state is JobState.SUBMITTING and record.adopted_by is None:
            first_lines[record.job] = (offset,)
        elif record.state is JobState.IN_QUEUE and len(begun) < _FIRST_LINES:
            first_lines[record.job] = (*begun, offset)
        if record.job in costliest:
            kept.add(offset)
        if record.job in replaced_next:  # the line that replaced an output
            replaced_next.discard(record.job)
            kept.add(offset)
        if offset in made_before:
            replaced_next.add(record.job)
        if offset in last or offset in made_before or record.adopted_by is not None:
            kept.update((*first_lines.get(record.job, ()), offset))
    return sorted(kept)


def _says(record: JobRecord | None, usd: float) -> bool:
    """Tell whether a record has this cost, of its present or an earlier attempt."""
    return record is not None and any(
        charge.reported and charge.usd == usd for charge in (record.present_charge, *record.charges)
    )


def _check_equal(old: Replay, new: Replay) -> None:
    """Raise `LedgerDamaged` unless both ledgers say the same of every job."""
    is_same = len(old.index) == len(new.index) and all(
        new.index.get(record.job) == record for record in old.index.records()
    )
    keys = set(old.index.made_before_keys())
    has_same_outputs = keys == set(new.index.made_before_keys()) and all(
        new.index.made_before(*key) == old.index.made_before(*key) for key in keys
    )
    has_same_costs = new.index.highest_usd == old.index.highest_usd
    if not (is_same and has_same_outputs and has_same_costs):
        raise LedgerDamaged(
            f"{old.path}: the compacted ledger would not say the same; it was left as it was."
            " This is a defect of batchgen"
        )
