"""The files of a run directory compared with the ledger: `ledger verify --files`, `run --repair`.

Files on disk are compared by size and sha256. For a bucket its word is taken: the digest of each
object is in its metadata, and was checked when the object was put.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobState, Records
from batchgen.core.run_limits import BUCKETS
from batchgen.outputs.answers import Unreachable
from batchgen.outputs.destination import Destination
from batchgen.outputs.output_dir import destination_of, fault_of_output_dir
from batchgen.system.run_directory import RunDirectory

_AT_ONCE = 256
"""Files that are handed to the threads together; keeps memory flat over a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file that is not as it was downloaded."""

    job: str
    file: OutputFile
    why: str
    exists: bool
    """Whether there is something under its name on this machine."""


def bad_files(run_dir: Path, records: Records) -> Iterator[BadFile]:
    """Yield every recorded file that is missing or differs, in the order of the ledger.

    Files that `runs --prune` removed are not missing.

    Raise `LocalIOError` if a bucket cannot be asked.
    """
    expected = (
        (record.job, file)
        for record in records.records(JobState.DOWNLOADED)
        for file in record.files
    )
    was_pruned = RunDirectory(run_dir).pruned.exists()

    def is_meant(bad: BadFile) -> bool:
        return was_pruned and not bad.exists

    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        while some := list(islice(expected, _AT_ONCE)):
            found = pool.map(lambda one: _compare(run_dir, *one), some)
            yield from (bad for bad in found if bad is not None and not is_meant(bad))


def _compare(run_dir: Path, job: str, file: OutputFile) -> BadFile | None:
    place = file.path.rpartition("/")[0]
    scheme, is_address, _ = place.partition("://")
    if is_address and scheme not in BUCKETS:
        why = f"{scheme}:// is not a place for files"
        return BadFile(job=job, file=file, why=why, exists=False)
    try:
        why = _destination(place, run_dir).difference(file)
    except Unreachable as error:
        raise LocalIOError(str(error)) from error
    except OSError as error:
        why = error.strerror or str(error)
    exists = "\0" not in file.path and os.path.lexists(run_dir / file.path)
    return BadFile(job=job, file=file, why=why, exists=exists) if why else None


@cache
def _destination(place: str, run_dir: Path) -> Destination:
    if fault := fault_of_output_dir(place):
        raise LocalIOError(fault)
    destination = destination_of(run_dir, place)
    if "://" in place:
        destination.prepare()
    return destination
