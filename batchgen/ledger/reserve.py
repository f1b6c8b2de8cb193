"""Room that is set aside on the disk, so that answers to what was paid for can be written there.

A POST whose answer cannot be written would be a doubt for a person to resolve. So the run keeps a
small file beside the ledger, and gives its room back to the disk the moment that is full.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.durable import sync_file

RESERVE_NAME = "ledger.reserve"
RESERVE_BYTES = 256 << 10
"""Enough for some hundred answers, more than are ever on their way at once."""


class Reserve:
    """One file of `RESERVE_BYTES`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def take(cls, run_dir: Path) -> Reserve:
        """Raises `LocalIOError` where there is no room: nothing may be submitted then."""
        path = run_dir / RESERVE_NAME
        reserve = cls(path)
        try:
            if not path.exists() or path.stat().st_size != RESERVE_BYTES:
                _fill(path)
        except OSError as error:
            reserve.release()
            raise LocalIOError(
                f"{path}: {error.strerror}; a run needs {RESERVE_BYTES >> 10} kB to spare, so that"
                " it can always write down what was paid for"
            ) from error
        return reserve

    def release(self) -> None:
        """Give the room back. The second time changes nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _fill(path: Path) -> None:
    """With bytes that no file system can compress away or leave out."""
    with path.open("wb") as file:
        file.write(os.urandom(RESERVE_BYTES))
        file.flush()
        sync_file(file.fileno())
