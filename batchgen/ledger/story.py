"""The life of one job, as the ledger tells it line by line. Reads only."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.replay import LEDGER_NAME, follow


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
