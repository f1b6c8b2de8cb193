"""The journal: what was accepted, on disk before the answer leaves, so that it survives SIGKILL.

One JSON object a line, append-only. Three kinds of lines, told apart by their first key:
`accepted` (a request), `cancelled` (one that left the queue), `ended` (how a job ended, where only
a fault rule knew). Everything else follows from the seed. No token is written, only fingerprints.

Each line is one unbuffered write: when `append` returns, the system has it, whatever happens to
the process. It is not fsynced; a power cut may cost a rehearsal its last requests.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.sandbox.fault_kinds import Fault


class AcceptedLine(msgspec.Struct, frozen=True, kw_only=True, tag="accepted", tag_field="line"):
    """A request was accepted."""

    request_id: str
    at: float
    """Seconds since 1970."""
    model: str
    input: dict[str, Any]
    token: str
    """Fingerprint."""
    outputs: int
    price_microusd: int
    fate: Fault | None = None


class CancelledLine(msgspec.Struct, frozen=True, kw_only=True, tag="cancelled", tag_field="line"):
    """A request was taken out of the queue."""

    request_id: str
    at: float


class EndedLine(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="line"):
    """What the result of a request was told to be; fate None: good."""

    request_id: str
    fate: Fault | None = None


Line = AcceptedLine | CancelledLine | EndedLine

_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


class Journal:
    """An open journal. Raises `LocalIOError` where the disk refuses or a line is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as problem:
            raise LocalIOError(f"{path}: the journal cannot be opened: {problem}") from None

    def load(self) -> list[Line]:
        """Every whole line, oldest first. Cuts a torn last line off, so that appends stay whole."""
        data = self._path.read_bytes()
        good = data[: data.rfind(b"\n") + 1]
        if len(good) < len(data):
            os.ftruncate(self._file, len(good))
        lines: list[Line] = []
        for number, text in enumerate(good.splitlines(), 1):
            try:
                lines.append(_decoder.decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                message = (
                    f"{self._path}:{number}: not a line of a sandbox journal ({problem}); "
                    "name another file, or remove this one to begin anew"
                )
                raise LocalIOError(message) from None
        return lines

    def append(self, line: Line) -> None:
        """Write one line. Raises `LocalIOError`, with nothing of the line left behind."""
        data = _encoder.encode(line) + b"\n"
        try:
            written = os.write(self._file, data)
            if written == len(data):
                return
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            problem = "no space left"
        except OSError as error:
            problem = str(error)
        raise LocalIOError(f"{self._path}: the journal cannot be written: {problem}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
