"""How a try to save an output ends if the file is not saved."""

from __future__ import annotations

from batchgen.core.events import JobError
from batchgen.outputs.part_file import ResumeNote
from batchgen.ports import LinkExpired, SaveLater


class Unreachable(Exception):
    """The destination could not be reached; another try may succeed."""


class DownloadPostponed(Exception):
    """This try has come to nothing; carries the answer for the runner."""

    def __init__(self, answer: LinkExpired | SaveLater, note: ResumeNote | None = None) -> None:
        super().__init__(answer.error.message)
        self.answer = answer
        self.note = note
        """The note for the next try, if it is another one now."""


def save_later(
    message: str,
    *,
    received_bytes: int = 0,
    hopeless: bool = False,
    http_status: int | None = None,
    retry_after_s: float | None = None,
) -> SaveLater:
    """Return the answer for a download that failed for this reason."""
    error = JobError(kind="download", message=message, http_status=http_status)
    return SaveLater(
        error=error, received_bytes=received_bytes, hopeless=hopeless, retry_after_s=retry_after_s
    )
