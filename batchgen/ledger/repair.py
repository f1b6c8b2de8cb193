"""Mending a damaged ledger: good lines stay as they are, bad ones are set aside, and what a bad
line says of money is put back. The new ledger takes the old one's place whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from batchgen.core.errors import LedgerDamaged, LocalIOError
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.ledger_salvage import put_back, records_in
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.damage import DamagedLine, DamageReport, examine
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.replay import LEDGER_NAME, replay
from batchgen.ledger.torn_tail import cut_torn_tail
from batchgen.system.files import remove_leftovers, replacing


@dataclass(slots=True)
class Repaired:
    """What was done."""

    aside: Path | None = None
    """Where the bad lines are now; None: nothing was wrong."""
    faults: list[DamagedLine] = field(default_factory=list)
    torn_bytes: int = 0
    put_back: list[JobRecord] = field(default_factory=list)
    """What was put on record because of a bad line."""
    lost: int = 0
    """Bad lines that do not say which job they were about."""


def repair(
    run_dir: Path, *, now: str, accepts_loss: Callable[[RecordIndex], bool] = lambda _: False
) -> Repaired:
    """Mend the ledger; to be called by the holder of the lock.

    Raises `LedgerDamaged`, with nothing changed, where a bad line may have been the only trace
    of a submission and does not say of which job, unless `accepts_loss` of what is still known.
    `LedgerForeign` and `LocalIOError` as `examine`.
    """
    path = run_dir / LEDGER_NAME
    found = examine(path)
    if not found.faults and not found.torn_bytes:
        return Repaired()
    if not found.faults:
        return _cut(found, now)
    lost = [fault for fault in found.faults if _is_lost(fault)]
    if lost and not accepts_loss(found.index):
        raise LedgerDamaged(_loss(found, lost))
    aside = path.with_name(f"{path.name}.damaged-{now.replace(':', '')}")
    done = Repaired(aside=aside, faults=found.faults, torn_bytes=found.torn_bytes, lost=len(lost))
    try:
        _set_aside(found, aside)
        done.put_back = list(_put_back(found, aside.name, now))
        remove_leftovers(path)
        with replacing(path) as file:
            _write(found, done.put_back, file, now)
            file.flush()
            replay(Path(file.name))
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}; it was left as it was") from error
    return done


def _cut(found: DamageReport, now: str) -> Repaired:
    """Only the tail is torn: what the next run would do by itself."""
    try:
        aside = cut_torn_tail(replay(found.path), now)
    except OSError as error:
        raise LocalIOError(f"{found.path}: {error.strerror}") from error
    return Repaired(aside=aside, torn_bytes=found.torn_bytes)


def _is_lost(fault: DamagedLine) -> bool:
    """Whether nobody can tell which job this was about."""
    remains = fault.remains
    if not fault.data or remains.is_harmless or remains.job is not None:
        return False
    return not records_in(fault.data)


def _loss(found: DamageReport, lost: list[DamagedLine]) -> str:
    first = lost[0]
    more = f" (and {len(lost) - 1:,} more like it)" if len(lost) > 1 else ""
    return (
        f"{found.path}:{first.line}: byte {first.offset:,}: these {len(first.data):,} bytes do not"
        f" say any more which job they were about{more}. If one was the only trace of a submission,"
        " the next run would pay for that row again. Nothing was changed. Compare"
        " `batchgen status` with what runcomfy.com shows under Generations; then, to go on"
        f" without these lines: batchgen ledger repair --accept-loss --run-dir {found.path.parent}"
    )


def _set_aside(found: DamageReport, aside: Path) -> None:
    with replacing(aside) as file:
        for fault in found.faults:
            if fault.data:
                file.write(fault.data + b"\n")
        file.write(found.tail())


def _put_back(found: DamageReport, aside: str, now: str) -> Iterator[JobRecord]:
    """What jobs need whose last line is bad."""
    last = {job: fault for fault in found.faults if (job := fault.remains.job) is not None}
    for job, fault in last.items():
        if records_in(fault.data) or found.index.offset_of(job) > fault.offset:
            continue
        record = put_back(fault.before, fault.remains, job=job, ts=now, aside=aside)
        if record is not None:
            yield record


def _write(found: DamageReport, records: list[JobRecord], file: IO[bytes], now: str) -> None:
    if found.header is None:
        file.write(encode_header(api=None, created=now))
    begin = 0
    for fault in found.faults:
        file.writelines(found.lines.blocks(begin, fault.offset))
        for whole in records_in(fault.data):
            file.write(whole + b"\n")
        begin = fault.offset + (len(fault.data) + 1 if fault.data else 0)
    file.writelines(found.lines.blocks(begin, found.position.offset))
    for whole in records_in(found.tail()):
        file.write(whole + b"\n")
    for record in records:
        file.write(encode(record))
