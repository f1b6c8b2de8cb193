"""The cut of a torn last line, which a crash left of a write that nobody was told had succeeded."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.ledger_codec import BadLine, decode
from batchgen.ledger.replay import Replay
from batchgen.system.files import set_aside_name, sync_directory, sync_file


def cut_torn_tail(replayed: Replay, now: str) -> Path:
    """Move the bytes behind the last newline into a file of their own; return its path.

    A tail that is a whole record lost only its newline. It may be the only trace of a job that
    was paid for, so it is put back as a line. Only for the holder of the lock: to a reader, the
    line that is being written is a torn tail too. Raises OSError.
    """
    path, good_bytes = replayed.path, replayed.position.offset
    with path.open("r+b") as file:
        file.seek(good_bytes)
        torn = file.read()
        aside = set_aside_name(path, "torn", now)
        with aside.open("xb") as copy:
            copy.write(torn)
            copy.flush()
            sync_file(copy.fileno())
        sync_directory(path.parent)
        file.truncate(good_bytes)
        is_whole = replayed.header is not None and _is_record(torn)
        if is_whole:
            file.seek(good_bytes)
            file.write(torn + b"\n")
        file.flush()
        sync_file(file.fileno())
    replayed.size_bytes = good_bytes
    if is_whole:
        replayed.read_on()
    return aside


def _is_record(line: bytes) -> bool:
    try:
        decode(line)
    except BadLine:
        return False
    return True
