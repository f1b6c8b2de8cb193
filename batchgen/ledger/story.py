"""The life of one job, as the ledger tells it line by line. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from batchgen.core.codec import Position, decode, scan
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.lines import LineFile
from batchgen.ledger.replay import LEDGER_NAME, replay

_BLOCK_BYTES = 1 << 20


def story_of(run_dir: Path, job: str) -> Iterator[tuple[bytes, JobRecord]]:
    """The lines of a job, each with its record, in their order; damage was found before.

    Raises as `replay`.
    """
    path = run_dir / LEDGER_NAME
    end = replay(path).position.offset
    if not end:
        return
    name = msgspec.json.encode(job)
    position = Position()
    for line in scan(_blocks(LineFile.open(path), end), position):
        if position.offset and name in line:
            record = decode(line)
            if record.job == job:
                yield line, record


def _blocks(lines: LineFile, end: int) -> Iterator[bytes]:
    begin = 0
    while begin < end and (block := lines.block(begin, min(_BLOCK_BYTES, end - begin))):
        begin += len(block)
        yield block
