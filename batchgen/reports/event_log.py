"""A log of a run, one line for each event and each sentence: JSON for programs, or plain.

It repeats what the ledger and the screen say, in the order in which it happened, for whoever
collects logs. The ledger stays the only thing that counts: a log that cannot be written ends,
and the run goes on.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.events import Event
from batchgen.core.lifecycle import JobRecord
from batchgen.core.units import timestamp
from batchgen.ports import Clock


class EventLog:
    """Lines on a stream (port `Observer`)."""

    def __init__(
        self, stream: TextIO, clock: Clock, *, as_json: bool, notes_only: bool = False
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._as_json = as_json
        self._notes_only = notes_only
        self._is_broken = False

    @classmethod
    def to_file(cls, path: Path, clock: Clock, *, as_json: bool) -> EventLog:
        """Append to a file. Raises `LocalIOError`."""
        try:
            stream = path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; --log-file names it") from error
        return cls(stream, clock, as_json=as_json)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """What happened to a job. Neither its input nor its links are repeated here."""
        if self._notes_only:
            return
        facts = {"event": _words(event), "job": job, "state": record.state.value}
        self._write({**facts, **_details(record)})

    def on_note(self, text: str) -> None:
        """A sentence that was said."""
        self._write({"note": text})

    def close(self) -> None:
        """Close the file."""
        if self._stream is not sys.stderr:
            with suppress(OSError):  # of a full disk, which was said
                self._stream.close()

    def _write(self, facts: dict[str, object]) -> None:
        if self._is_broken:
            return
        moment = timestamp(self._clock.now_s())
        line = _json({"ts": moment, **facts}) if self._as_json else _plain(moment, facts)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError as error:
            self._is_broken = True
            if self._stream is not sys.stderr:
                sys.stderr.write(
                    f"batchgen: {self._stream.name}: {error.strerror}; the log ends here, the run"
                    " goes on\n"
                )


def _details(record: JobRecord) -> dict[str, object]:
    """What the record knows, without what it does not."""
    known = {
        "attempt": record.attempt,
        "request_id": record.request_id,
        "cost_usd": record.cost_usd,
        "error": record.error,
        "files": [file.path for file in record.files],
    }
    return {key: value for key, value in known.items() if value not in (None, [])}


def _words(event: Event) -> str:
    """`AnswerLost` is `answer_lost`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _plain(moment: str, facts: dict[str, object]) -> str:
    """`2026-11-22T02:00:01.123Z accepted job="fox" state="in_queue" attempt=1`."""
    if note := facts.get("note"):
        text = " ".join(str(note).split())
        return f"{moment} {''.join(char for char in text if char.isprintable())}"
    parts = " ".join(f"{key}={_json(value)}" for key, value in facts.items() if key != "event")
    return f"{moment} {facts['event']} {parts}"
