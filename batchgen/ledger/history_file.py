"""history.jsonl: one line for each run that ended, appended beside the ledger."""

from __future__ import annotations

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.history import PastRun
from batchgen.ledger.appended_lines import append_lines, whole_lines
from batchgen.system.run_directory import RunDirectory

_decoder = msgspec.json.Decoder(PastRun)


def read_history(directory: RunDirectory) -> list[PastRun]:
    """Return the runs in their order; a line that cannot be read is skipped.

    Raises `LocalIOError`.
    """
    found = (_past_run(line) for line in whole_lines(directory.history))
    return [one for one in found if one is not None]


def last_run(directory: RunDirectory) -> PastRun | None:
    """Return the last run that ended; None if there is none, or the file cannot be read."""
    try:
        return next(reversed(read_history(directory)), None)
    except LocalIOError:
        return None


def append_to_history(directory: RunDirectory, run: PastRun) -> None:
    """Append the line of a run; it is durable when this returns. Raises `LocalIOError`."""
    try:
        append_lines(directory.history, [msgspec.json.encode(run.as_json())])
    except OSError as error:
        raise LocalIOError(f"{directory.history}: {error.strerror}") from error


def _past_run(line: bytes) -> PastRun | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
