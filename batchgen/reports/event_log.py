"""The log of a run, one line for each event and each note: JSON for programs, or plain text.

It repeats in order what the ledger and the screen say, for whoever collects logs. If it cannot be
written, the log ends and the run continues: only the ledger counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.errors import LocalIOError
from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.core.units import timestamp
from batchgen.reports.log_file import LogFile
from batchgen.reports.terminal import TextStream, json_line, tame

if TYPE_CHECKING:
    from batchgen.ports import Clock


class EventLog:
    """The lines on a stream (port `Observer`)."""

    def __init__(
        self, stream: TextStream, clock: Clock, *, as_json: bool = False, notes_only: bool = False
    ) -> None:
        self._stream = stream
        self._clock = clock
        self.as_json = as_json
        self._notes_only = notes_only
        self._is_broken = False
        self._file: LogFile | None = None
        self._on_broken: Callable[[str], None] = lambda _: None

    @classmethod
    def to_file(
        cls,
        path: Path,
        clock: Clock,
        on_broken: Callable[[str], None] = lambda _: None,
        max_bytes: int | None = None,
    ) -> EventLog:
        """Return a log that appends to a file; `on_broken` hears once that it cannot be written.

        With `max_bytes` the file is rotated at that size.

        Raises `LocalIOError` if it cannot be opened.
        """
        try:
            file = LogFile(path, max_bytes=max_bytes)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; --log-file names it") from error
        log = cls(file, clock)
        log._file, log._on_broken = file, on_broken
        return log

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Log what happened to a job, without its input and its links."""
        if self._notes_only:
            return
        facts = {"event": _event_name(event), "job": job, "state": record.state.value}
        self._write({**facts, **_details(record)})

    def on_note(self, text: str) -> None:
        """Log a sentence that was printed."""
        self._write({"note": text})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # a full disk, which was reported when it was written to
                self._file.close()

    def _write(self, facts: dict[str, object]) -> None:
        if self._is_broken:
            return
        moment = timestamp(self._clock.now_s())
        encoding = self._stream.encoding or "utf-8"
        line = (
            json_line({"ts": moment, **facts}, encoding) if self.as_json else _plain(moment, facts)
        )
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError as error:
            self._is_broken = True
            name = getattr(self._file, "name", "the log")
            self._on_broken(f"{name}: {error.strerror}; the log ends here, the run continues")


def _details(record: JobRecord) -> dict[str, object]:
    """Return the values of a record that are known."""
    values = {
        "attempt": record.attempt,
        "request_id": record.request_id,
        "cost_usd": record.cost_usd,
        "error": record.error,
        "files": [file.path for file in record.files],
    }
    return {key: value for key, value in values.items() if value not in (None, [])}


def _event_name(event: Event) -> str:
    """Return `answer_lost` for `AnswerLost`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def _plain(moment: str, facts: dict[str, object]) -> str:
    """Return `2026-11-22T02:00:01.123Z accepted job="fox" state="in_queue" attempt=1`."""
    if "note" in facts:
        return f"{moment} {tame(str(facts['note']))}"
    parts = " ".join(f"{key}={json_line(value)}" for key, value in facts.items() if key != "event")
    return f"{moment} {facts['event']} {parts}"
