"""The torn tail: what a crash left of a write that nobody was told had succeeded."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.ledger_codec import BadLine, decode
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.replay import Replay
from batchgen.system.files import sync_directory, sync_file


def cut_torn_tail(replayed: Replay, now: str) -> Path:
    """Keep the bytes behind the last newline in a file of their own, which it names; cut them.

    A tail that is a whole record lost only its newline. It may be the sole trace of a job that
    was paid for, so it is put back as a line. To be called by the holder of the lock only, since
    to a reader the line that is being written is a torn tail too. Raises OSError.
    """
    path, good = replayed.path, replayed.position.offset
    with path.open("r+b") as file:
        file.seek(good)
        torn = file.read()
        kept = path.with_name(f"{path.name}.torn-{now.replace(':', '')}")
        with kept.open("xb") as aside:
            aside.write(torn)
            aside.flush()
            sync_file(aside.fileno())
        sync_directory(path.parent)
        file.truncate(good)
        whole = _whole_record(replayed, torn)
        if whole is not None:
            file.seek(good)
            file.write(torn + b"\n")
        file.flush()
        sync_file(file.fileno())
    replayed.size_bytes = good
    if whole is not None:
        replayed.read_on()
    return kept


def _whole_record(replayed: Replay, torn: bytes) -> JobRecord | None:
    if replayed.header is None:
        return None
    try:
        return decode(torn)
    except BadLine:
        return None
