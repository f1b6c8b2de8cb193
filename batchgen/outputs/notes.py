"""What is known of outputs that are on their way, on disk: so that the next process can go on.

One small file for each unfinished output, in the run directory. It says which bytes the part
begins with (by length and digest, so that a part is never taken for something it is not, whatever
a power cut left of it), and what the server called them. A note is a help, never a promise: where
it is missing or does not fit, the download begins anew.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from batchgen.durable import replacing

Key = tuple[str, int]
"""A job and the number of its output, from 1."""


class Note(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One output on its way."""

    job: str
    index: int
    stem: str
    """The name that it has claimed, without extension."""
    url: str = ""
    """Where the bytes came from, without its query: signatures in there change."""
    validator: str = ""
    """ETag or Last-Modified of those bytes, for If-Range; empty where nothing vouches for them."""
    total_bytes: int | None = None
    content_type: str = ""
    received_bytes: int = 0
    sha256: str = ""
    """Of the first `received_bytes`."""
    high_water_bytes: int = 0
    """The most that was ever received; more than that is progress."""
    name: str = ""
    """The final name, once all of it was received and checked."""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.job, self.index

    def forget_bytes(self) -> None:
        """Nothing of what was received is worth keeping."""
        self.validator, self.total_bytes, self.name = "", None, ""
        self.received_bytes, self.sha256 = 0, ""


class Notes:
    """The directory of the notes; it exists only while there are any. Blocking."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._encoder = msgspec.json.Encoder()

    def read(self) -> list[Note]:
        """All that can be read; the others are removed."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Note))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                path.unlink(missing_ok=True)
        return found

    def write(self, note: Note) -> None:
        """Keep it. Not durable: it is for a kill, and after a power cut its digest is checked."""
        content = self._encoder.encode(note)
        try:
            self._replace(note.key, content)
        except FileNotFoundError:  # the first one
            self.directory.mkdir(parents=True, exist_ok=True)
            self._replace(note.key, content)

    def _replace(self, key: Key, content: bytes) -> None:
        with replacing(self._path(key), durable=False) as file:
            file.write(content)

    def drop(self, key: Key) -> None:
        """Forget it."""
        self._path(key).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the directory where nothing is left in it."""
        with suppress(OSError):
            self.directory.rmdir()

    def _path(self, key: Key) -> Path:
        return self.directory / f"{digest_of(key)}.json"


def digest_of(key: Key) -> str:
    """A name for what belongs to one output in the directory of the notes."""
    text = f"{key[0]}\0{key[1]}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()
