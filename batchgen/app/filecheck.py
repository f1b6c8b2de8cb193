"""Files on disk against what the ledger says of them: size first, then sha256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobState
from batchgen.core.plan import Records

_AT_ONCE = 256
"""Files that are handed to the threads together; keeps memory flat over a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file that is not as it was downloaded."""

    job: str
    file: OutputFile
    why: str
    is_there: bool


def bad_files(run_dir: Path, records: Records) -> Iterator[BadFile]:
    """Every recorded file that is missing or differs, in the order of the ledger."""
    expected = (
        (record.job, file)
        for record in records.records(JobState.DOWNLOADED)
        for file in record.files
        if "://" not in file.path
    )
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        while some := list(islice(expected, _AT_ONCE)):
            found = pool.map(lambda one: _look(run_dir, *one), some)
            yield from (bad for bad in found if bad is not None)


def _look(run_dir: Path, job: str, file: OutputFile) -> BadFile | None:
    path = run_dir / file.path
    try:
        size_bytes = path.stat().st_size
        if size_bytes != file.bytes:
            why = f"{size_bytes:,} bytes; the download had {file.bytes:,}"
            return BadFile(job=job, file=file, why=why, is_there=True)
        with path.open("rb") as data:
            same = hashlib.file_digest(data, "sha256").hexdigest() == file.sha256
    except FileNotFoundError:
        return BadFile(job=job, file=file, why="missing", is_there=False)
    except OSError as error:
        return BadFile(job=job, file=file, why=error.strerror or str(error), is_there=True)
    why = "its content is not what was downloaded (sha256)"
    return None if same else BadFile(job=job, file=file, why=why, is_there=True)
