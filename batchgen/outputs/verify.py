"""Files against what the ledger says of them: on disk by size and sha256, in a bucket by its word.

A bucket keeps the digest of each object in its metadata, which it checked when the file was put.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobState
from batchgen.core.plan import Records

if TYPE_CHECKING:
    from batchgen.outputs.destination import Destination


_AT_ONCE = 256
"""Files that are handed to the threads together; keeps memory flat over a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file that is not as it was downloaded."""

    job: str
    file: OutputFile
    why: str
    lies_here: bool
    """Whether something lies under its name on this machine."""


def bad_files(run_dir: Path, records: Records) -> Iterator[BadFile]:
    """Every recorded file that is missing or differs, in the order of the ledger.

    Raises `LocalIOError` where a bucket cannot be asked.
    """
    expected = (
        (record.job, file)
        for record in records.records(JobState.DOWNLOADED)
        for file in record.files
    )
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        while some := list(islice(expected, _AT_ONCE)):
            found = pool.map(lambda one: _look(run_dir, *one), some)
            yield from (bad for bad in found if bad is not None)


def _look(run_dir: Path, job: str, file: OutputFile) -> BadFile | None:
    look = _look_in_bucket if "://" in file.path else _look_on_disk
    why, lies_here = look(run_dir, file)
    return BadFile(job=job, file=file, why=why, lies_here=lies_here) if why else None


def _look_on_disk(run_dir: Path, file: OutputFile) -> tuple[str, bool]:
    path = run_dir / file.path
    try:
        size_bytes = path.stat().st_size
        if size_bytes != file.bytes:
            return f"{size_bytes:,} bytes; the download had {file.bytes:,}", True
        with path.open("rb") as data:
            same = hashlib.file_digest(data, "sha256").hexdigest() == file.sha256
    except FileNotFoundError:
        return "missing", False
    except OSError as error:
        return error.strerror or str(error), True
    return "" if same else "its content is not what was downloaded (sha256)", True


def _look_in_bucket(run_dir: Path, file: OutputFile) -> tuple[str, bool]:
    from batchgen.outputs.destination import Unreachable

    try:
        held = _bucket(file.path.rpartition("/")[0], run_dir).holds(file)
    except Unreachable as error:
        raise LocalIOError(str(error)) from error
    return "" if held else "missing, or not what was downloaded (size, sha256)", False


@cache
def _bucket(url: str, run_dir: Path) -> Destination:
    from batchgen.outputs.bucket import Bucket, fault_of
    from batchgen.outputs.store import NOTES_NAME

    if fault := fault_of(url):
        raise LocalIOError(fault)
    bucket = Bucket(url=url, parts=run_dir / NOTES_NAME)
    bucket.prepare()
    return bucket
