"""The named places where killing the process does the most harm.

Each says what is true at that moment, here and remotely, and what the next run makes of it.
`reached` does nothing: no flag, file or variable changes that. A test that wants a process to die
at a place starts it with a `hook` of its own, and so checks these sentences with SIGKILL.

The hook is called on whatever thread reaches the place.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """A place where a process can be killed."""

    BEFORE_INTENT = "before-intent"
    """Nothing is written and nothing was sent. The next run submits the job."""
    INTENT_DURABLE = "intent-durable"
    """`submitting` is on disk, the POST has not left; nobody can tell this from a POST that has.
    The next run puts the job in doubt."""
    ANSWER_HEARD = "answer-heard"
    """The API has accepted and answered; the request_id is in memory only. The job is paid for,
    and in doubt: the user finds it by its time and prompt. This is what intents are for."""
    REQUEST_ID_DURABLE = "request-id-durable"
    """`in_queue` is on disk with its request_id. The next run polls."""
    RESULT_HEARD = "result-heard"
    """The job has succeeded remotely, the ledger says in flight. The next run polls again."""
    RESULT_DURABLE = "result-durable"
    """`completed` is on disk with its outputs. The next run downloads, without a poll."""
    DOWNLOAD_BEGINS = "download-begins"
    """`completed` is on disk, no file has been begun."""
    CHUNK_WRITTEN = "chunk-written"
    """Some bytes are in `NAME.part`. The next run continues there, or fetches it again."""
    FILE_LINKED = "file-linked"
    """The file is whole under its final name, and still has the name of its part as well. The next
    run finds the file, and removes the part."""
    FILE_RENAMED = "file-renamed"
    """The file is whole under its final name, the ledger does not know it. The next run finds
    that the file it fetches exists already: one file, not two."""
    LINE_HALF_WRITTEN = "line-half-written"
    """The last line of the ledger is incomplete. Nobody was told that it was written; the next
    run cuts it off and keeps its bytes."""
    LINE_WRITTEN = "line-written"
    """A line is in the file and not synced. A kill keeps it, a power failure may not; nobody was
    told yet, so both are right."""
    COMPACTION_WRITTEN = "compaction-written"
    """The compacted ledger is whole beside the old one, which is still the ledger."""
    REVIEW_WRITTEN = "review-written"
    """Verdicts are in the file and may not be durable; nobody was told that they are stored."""
    REVIEW_DURABLE = "review-durable"
    """The verdicts are durable, and the user was not told yet."""
    COMPACTION_RENAMED = "compaction-renamed"
    """The compacted ledger has replaced the old one; its name may not be durable yet."""


def _do_nothing(_point: CrashPoint) -> None:
    pass


hook: Callable[[CrashPoint], None] = _do_nothing
"""Called at each place; set only by tests, from outside."""


def reached(point: CrashPoint) -> None:
    """Call the hook, because the program is at this place."""
    hook(point)
