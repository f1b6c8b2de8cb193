"""The repair of a damaged ledger.

Good lines stay as they are, bad ones are set aside, and what a bad line says about money is put
back. The new ledger replaces the old one whole or not at all.
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
from batchgen.ledger.replay import replay
from batchgen.ledger.run_ledger import cut_torn_tail
from batchgen.system.files import remove_leftovers, replacing, set_aside_name
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True)
class Repaired:
    """The outcome of a repair."""

    aside: Path | None = None
    """The file with the bad lines; None: nothing was wrong."""
    faults: list[DamagedLine] = field(default_factory=list)
    torn_bytes: int = 0
    put_back: list[JobRecord] = field(default_factory=list)
    """Records that were written because of a bad line."""
    lost: int = 0
    """The number of bad lines that do not say which job they were about."""


def repair(
    run_dir: Path, *, now: str, accepts_loss: Callable[[RecordIndex], bool] = lambda _: False
) -> Repaired:
    """Repair the ledger; only for the holder of the lock.

    Raises `LedgerDamaged`, with nothing changed, if a bad line may have been the only trace of a
    submission and does not say of which job, unless `accepts_loss` is true for what is still
    known. `LedgerMissing`, `LedgerForeign` and `LocalIOError` as `examine`.
    """
    path = RunDirectory(run_dir).ledger
    found = examine(path)
    lost = [fault for fault in found.faults if _is_lost(fault)]
    if lost and not accepts_loss(found.index):
        raise LedgerDamaged(_loss_message(found, lost))
    done = Repaired(faults=found.faults, torn_bytes=found.torn_bytes, lost=len(lost))
    try:
        if found.faults:
            done.aside = set_aside_name(path, "damaged", now)
            _set_aside(found, done.aside)
            done.put_back = list(_put_back(found, done.aside.name, now))
            _rewrite(found, done.put_back, now)
        elif found.torn_bytes:
            done.aside = cut_torn_tail(replay(path), now)  # as the next run would
    except OSError as error:
        unchanged = "; it was left as it was" if found.faults else ""
        raise LocalIOError(f"{path}: {error.strerror}{unchanged}") from error
    return done


def _is_lost(fault: DamagedLine) -> bool:
    """Tell whether nobody can say which job a line was about."""
    salvaged = fault.salvaged
    if not fault.data or salvaged.is_harmless or salvaged.job is not None:
        return False
    return not records_in(fault.data)


def _loss_message(found: DamageReport, lost: list[DamagedLine]) -> str:
    first = lost[0]
    more = f" (and {len(lost) - 1:,} more lines like it)" if len(lost) > 1 else ""
    return (
        f"{found.path}:{first.line}: byte {first.offset:,}: these {len(first.data):,} bytes do not"
        f" say any more which job they were about{more}. If one was the only trace of a submission,"
        " the next run would pay for that row again. Nothing was changed. Compare"
        " `batchgen status` with what runcomfy.com shows under Generations; then, to continue"
        f" without these lines: batchgen ledger repair --accept-loss --run-dir {found.path.parent}"
    )


def _set_aside(found: DamageReport, aside: Path) -> None:
    with replacing(aside) as file:
        file.writelines(fault.data + b"\n" for fault in found.faults if fault.data)
        file.write(found.tail())


def _put_back(found: DamageReport, aside: str, now: str) -> Iterator[JobRecord]:
    """Yield the records that jobs need whose last line is bad."""
    last = {job: fault for fault in found.faults if (job := fault.salvaged.job) is not None}
    for job, fault in last.items():
        if records_in(fault.data) or found.index.offset_of(job) > fault.offset:
            continue
        record = put_back(fault.before, fault.salvaged, job=job, ts=now, aside=aside)
        if record is not None:
            yield record


def _rewrite(found: DamageReport, records: list[JobRecord], now: str) -> None:
    """Replace the ledger by its good lines and these records. Raises OSError."""
    remove_leftovers(found.path)
    with replacing(found.path) as file:
        _write(found, records, file, now)
        file.flush()
        replay(Path(file.name))  # raises if the new ledger could not be read


def _write(found: DamageReport, records: list[JobRecord], file: IO[bytes], now: str) -> None:
    if found.header is None:
        file.write(encode_header(api=None, created=now))
    begin = 0
    for fault in found.faults:
        file.writelines(found.reader.blocks(begin, fault.offset))
        file.writelines(line + b"\n" for line in records_in(fault.data))
        begin = fault.end
    file.writelines(found.reader.blocks(begin, found.position.offset))
    file.writelines(line + b"\n" for line in records_in(found.tail()))
    file.writelines(encode(record) for record in records)
