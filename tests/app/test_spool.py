"""The spool of a manifest's rows on a disk that is full."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from batchgen.app.spool import Spool, SpooledRow
from batchgen.core.errors import LocalIOError
from batchgen.manifest.file_access import spooled
from tests.kit.disks import file_limit

ROW = SpooledRow("j1", "a/b", {"prompt": "a fox"}, "m.csv", 2, {"prompt": "a fox"})


@pytest.mark.parametrize("rows", [1, 1_000])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_full_disk_is_reported_as_such_and_the_spool_can_be_closed(
    tmp_path: Path, rows: int, at_once: bool
) -> None:
    """Whether the disk is full before the first line or later, when written or when read."""
    spool = Spool(tmp_path)
    limit = 0 if at_once else 20_000

    with file_limit(limit), pytest.raises(LocalIOError, match="temporary file"):
        fill(spool, rows if at_once else 1_000)

    with file_limit(limit):
        spool.close()


def fill(spool: Spool, rows: int) -> None:
    """Write rows and read them."""
    for _ in range(rows):
        spool.add(ROW)
    list(spool.rows())


def test_a_directory_without_room_for_a_file_is_reported(tmp_path: Path) -> None:
    """The disk may be full before there is a file."""
    with pytest.raises(LocalIOError, match="temporary file"):
        Spool(tmp_path / "gone")


def test_what_a_pipe_brings_needs_room_too() -> None:
    """A manifest from stdin is copied to a temporary file."""
    with file_limit(10), pytest.raises(LocalIOError, match="temporary file"):
        spooled(io.BytesIO(b"prompt\na fox in the snow\n"))
