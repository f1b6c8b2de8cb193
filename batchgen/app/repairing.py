"""`run --repair`: files that are missing or damaged are fetched again, without another POST."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from batchgen.app.filecheck import BadFile, bad_files
from batchgen.core.errors import LocalIOError
from batchgen.core.events import FilesLost
from batchgen.ledger import LedgerBook


async def reopen_damaged(run_dir: Path, book: LedgerBook, *, now: str) -> tuple[BadFile, ...]:
    """Put jobs with a bad file back to `completed`, so that this run downloads them; says which.

    What lies under the name of a bad file is moved aside: it may be somebody's work. Raises
    `LocalIOError`.
    """
    found = tuple(bad_files(run_dir, book))
    _move_aside((run_dir / bad.file.path for bad in found if bad.lies_here), now)
    for job in dict.fromkeys(bad.job for bad in found):
        await book.record(job, FilesLost())
    return found


def _move_aside(paths: Iterable[Path], now: str) -> None:
    for path in paths:
        try:
            path.rename(path.with_name(f"{path.stem}.changed-{now.replace(':', '')}{path.suffix}"))
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; it is in the way") from error
