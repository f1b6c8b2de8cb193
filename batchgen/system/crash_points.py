"""The places where a kill hurts most, by name.

Each place says what is true at that moment, here and remotely, and what the next run makes of
it. `reached` does nothing: no flag, file or variable turns it into anything else. A test that
wants a process to die at a place starts it with a `hook` of its own; then what stands here as a
sentence is checked with SIGKILL.

The hook is called on whatever thread passes the place.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """Where a process may be killed."""

    BEFORE_INTENT = "before-intent"
    """Nothing is written and nothing was sent. The next run submits the job."""
    INTENT_DURABLE = "intent-durable"
    """`submitting` is on disk, the POST has not left; nobody can tell that from one that has.
    The next run puts the job in doubt."""
    ANSWER_HEARD = "answer-heard"
    """The API has accepted and said so; the request_id is in memory only. The job is paid for,
    and in doubt: a person finds it by its time and prompt. This is what intents are for."""
    REQUEST_ID_DURABLE = "request-id-durable"
    """`in_queue` is on disk with its request_id. The next run goes on with looking."""
    RESULT_HEARD = "result-heard"
    """The job has succeeded remotely, the ledger still says in flight. The next run asks again."""
    RESULT_DURABLE = "result-durable"
    """`completed` is on disk with its outputs. The next run downloads, and asks nothing."""
    DOWNLOAD_BEGINS = "download-begins"
    """`completed` is on disk, no file has been begun."""
    CHUNK_WRITTEN = "chunk-written"
    """Some bytes are in `NAME.part`. The next run goes on from there, or fetches it anew."""
    FILE_RENAMED = "file-renamed"
    """The file is whole under its final name, the ledger does not know it. The next run finds
    that what it fetches lies there already: one file, not two."""
    LINE_HALF_WRITTEN = "line-half-written"
    """The last line of the ledger has no end. Nobody was told that it is there; the next run
    cuts it off and keeps its bytes."""
    LINE_WRITTEN = "line-written"
    """A line is in the file and not synced. A kill keeps it, a power cut may not; nobody was told
    yet, so both are right."""
    COMPACTION_WRITTEN = "compaction-written"
    """The compacted ledger lies beside the old one, which is still the ledger."""
    COMPACTION_RENAMED = "compaction-renamed"
    """The compacted ledger has taken the place of the old one; its name may not be durable."""


def _go_on(_point: CrashPoint) -> None:
    """Nothing happens."""


hook: Callable[[CrashPoint], None] = _go_on
"""What is called at each place; set by tests only, from outside."""


def reached(point: CrashPoint) -> None:
    """The program is at this place."""
    hook(point)
