"""report/measures.jsonl: what was measured of each file, by its digest, so that it is done once.

It can be deleted: everything in it is measured again. A line that cannot be read is skipped.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from batchgen.core.output_checks import Measure
from batchgen.system.files import open_regular


class _Line(Measure, frozen=True, kw_only=True, omit_defaults=True):
    """A measure, and the digest of its file."""

    sha256: str


_decoder = msgspec.json.Decoder(_Line)


class MeasuresFile:
    """The measures of a batch; several processes may add to the file at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Measure] | None = None

    def get(self, sha256: str) -> Measure | None:
        """Return what is known of the file with that digest."""
        if self._known is None:
            self._known = self._read()
        return self._known.get(sha256)

    def add(self, sha256: str, measure: Measure) -> None:
        """Remember a measure, on disk too if that takes it."""
        self.get(sha256)
        if self._known is not None:
            self._known[sha256] = measure
        line = _Line(sha256=sha256, **msgspec.structs.asdict(measure))
        with suppress(OSError):  # it is measured again next time
            self._path.parent.mkdir(exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self._path, flags, 0o666)
            try:
                # The newline before it, too, keeps a line apart from one that was torn.
                os.write(fd, b"\n" + msgspec.json.encode(line) + b"\n")
            finally:
                os.close(fd)

    def _read(self) -> dict[str, Measure]:
        known: dict[str, Measure] = {}
        with suppress(OSError), os.fdopen(open_regular(self._path), "rb") as file:
            for text in file:
                with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    line = _decoder.decode(text)
                    known[line.sha256] = line
        return known
