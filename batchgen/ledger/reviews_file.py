"""reviews.jsonl: the verdicts of the user, appended beside the ledger, with its care.

It is a file of its own, because verdicts are given while a run holds the lock of the ledger.
Nothing here is about money: a line that cannot be read is left where it is, and is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.lifecycle import JobRecord
from batchgen.core.reviews import Verdict, verdicts_by_take
from batchgen.ledger.appended_lines import append_lines, whole_lines
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.run_directory import RunDirectory

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Verdict)


def read_reviews(run_dir: Path) -> list[Verdict]:
    """Return every verdict, in the order in which they were given. Raises `LocalIOError`."""
    path = RunDirectory(run_dir).reviews
    return [verdict for line in whole_lines(path) if (verdict := _verdict(line)) is not None]


def verdicts_of(run_dir: Path) -> Callable[[JobRecord], Verdict | None]:
    """Return a function that gives the last verdict on the take of a record, as read now."""
    return verdicts_by_take(read_reviews(run_dir))


def _verdict(line: bytes) -> Verdict | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def append_reviews(run_dir: Path, verdicts: Sequence[Verdict]) -> None:
    """Append verdicts; they are durable when this returns. Raises `LocalIOError`.

    If it raises, none of them is in the file, unless that cannot be cut any more either.
    """
    if not verdicts:
        return
    path = RunDirectory(run_dir).reviews
    lines = [_encoder.encode(_line(one)) for one in verdicts]
    try:
        append_lines(path, lines, on_written=lambda: reached(CrashPoint.REVIEW_WRITTEN))
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}; no verdict was stored") from error
    reached(CrashPoint.REVIEW_DURABLE)


def _line(verdict: Verdict) -> dict[str, Any]:
    line = msgspec.structs.asdict(verdict)
    if verdict.submitted_at is None:
        del line["submitted_at"]
    return line
