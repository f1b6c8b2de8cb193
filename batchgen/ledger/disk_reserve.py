"""The room that is set aside for a full disk, so that what was paid for can still be recorded.

A POST whose answer cannot be written would leave the user with a job in doubt. So a run keeps a
small file beside the ledger, and gives its room back to the disk as soon as the disk is full.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.system.files import sync_file
from batchgen.system.run_directory import RunDirectory

RESERVE_BYTES = 256 << 10
"""Enough for several hundred answers, more than are ever on their way at once."""


class DiskReserve:
    """A file of `RESERVE_BYTES` beside the ledger."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def take(cls, run_dir: Path) -> DiskReserve:
        """Set the room aside. Raises `LocalIOError` if there is none: nothing may be submitted."""
        path = RunDirectory(run_dir).disk_reserve
        reserve = cls(path)
        try:
            if not path.exists() or path.stat().st_size != RESERVE_BYTES:
                _fill(path)
        except OSError as error:
            reserve.release()
            raise LocalIOError(
                f"{path}: {error.strerror}; a run needs {RESERVE_BYTES >> 10} kB of free space, so"
                " that it can always record what was paid for"
            ) from error
        return reserve

    def release(self) -> None:
        """Give the room back. The second call changes nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _fill(path: Path) -> None:
    """Write random bytes, which no file system can compress or leave out."""
    with path.open("wb") as file:
        file.write(os.urandom(RESERVE_BYTES))
        file.flush()
        sync_file(file.fileno())
