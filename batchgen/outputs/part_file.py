"""The bytes of one output on their way: the `.part` file, and the note that lets others resume it.

A resume note is a small file in the run directory for each unfinished output. It says which bytes
the part begins with (by length and digest, so that a part is never taken for something it is not,
whatever a power cut left of it), and what the server called them. If it is missing or does not
fit, the download begins again from the first byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from aiofiles.threadpool import wrap
from msgspec.structs import replace

from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import make_below, replacing

T = TypeVar("T")
Key = tuple[str, int]
"""A job and the number of its output, from 1."""


class ResumeNote(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What is known of one unfinished output."""

    job: str
    index: int
    stem: str
    """The name that it has claimed, without extension."""
    url: str = ""
    """Where the bytes came from, without its query: signatures in there change."""
    validator: str = ""
    """ETag or Last-Modified of those bytes, for If-Range; empty if neither identifies them."""
    total_bytes: int | None = None
    content_type: str = ""
    received_bytes: int = 0
    sha256: str = ""
    """Of the first `received_bytes`."""
    high_water_bytes: int = 0
    """The most that was ever received; only more than that is progress."""
    name: str = ""
    """The final name, once all of it was received and checked."""

    @property
    def key(self) -> Key:
        """The output that it is about."""
        return self.job, self.index

    @property
    def is_useful(self) -> bool:
        """Tell whether another process could resume the download, or know the file, by it."""
        return bool(self.name or (self.validator and self.received_bytes))

    def without_bytes(self) -> ResumeNote:
        """Return the note for a download that begins again."""
        return replace(self, validator="", total_bytes=None, name="", received_bytes=0, sha256="")

    def with_bytes_of(self, part: PartFile) -> ResumeNote:
        """Return the note for the bytes that the part has now."""
        return replace(
            self,
            received_bytes=part.size_bytes,
            sha256=part.sha256,
            high_water_bytes=max(self.high_water_bytes, part.size_bytes),
        )


class ResumeNotes:
    """The directory of the notes; it exists only while there are any. Blocking."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> list[ResumeNote]:
        """Return all that can be read; the others are removed."""
        found = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                found.append(decode_json(path.read_bytes(), type=ResumeNote))
            except (OSError, BadJSON):
                path.unlink(missing_ok=True)
        return found

    def write(self, note: ResumeNote) -> None:
        """Write a note in place of the last one for this output; drop that if it is of no use.

        Not durable: a note is for a kill, and after a power cut its digest is checked.
        """
        if not note.is_useful:
            self.drop(note.key)
            return
        make_below(self._directory, self._directory.parent)
        with replacing(self._path(note.key), durable=False) as file:
            file.write(msgspec.json.encode(note))

    def drop(self, key: Key) -> None:
        """Remove the note about an output."""
        self._path(key).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the directory if it is empty."""
        with suppress(OSError):
            self._directory.rmdir()

    def _path(self, key: Key) -> Path:
        return self._directory / f"{digest_of(key)}.json"


def digest_of(key: Key) -> str:
    """Return a file name, without extension, for what belongs to one output."""
    text = f"{key[0]}\0{key[1]}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


READ_BYTES = 1 << 20
WRITE_BYTES = 1 << 19
"""Enough for a write; less than that waits for more, though not for long."""
FULL_BYTES = 1 << 20
"""Bytes that may wait for the disk before the network has to wait too."""
WRITE_AFTER_S = 0.2
NOTE_AFTER_S = 0.5
"""How often a slow download is noted; a kill costs what arrived since."""


class PartFile(io.FileIO):
    """A file that knows the digest of everything written to it. Blocking; to be closed."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o666)
        if os.fstat(fd).st_nlink > 1:  # it is published already: those bytes are never written to
            os.close(fd)
            path.unlink()
            fd = os.open(path, flags, 0o666)
        super().__init__(fd, "r+")
        self.path = path
        self.size_bytes = 0
        """Bytes that are good; the file may have more until it is cut."""
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of the first `size_bytes`."""
        return self._digest.copy().hexdigest()

    def resume(self, size_bytes: int, sha256: str) -> None:
        """Continue behind these bytes if the file begins with them; else begin again."""
        self.begin_again()
        buffer = memoryview(bytearray(READ_BYTES))
        while self.size_bytes < size_bytes:
            count = self.readinto(buffer[: size_bytes - self.size_bytes])
            if not count:
                break
            self._digest.update(buffer[:count])
            self.size_bytes += count
        if self.size_bytes != size_bytes or self.sha256 != sha256:
            self.begin_again()

    def begin_again(self) -> None:
        """Count nothing of the file any more."""
        self.seek(0)
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def writelines(self, pieces: Iterable[bytes]) -> None:  # type: ignore[override]
        """Write all of them. Raise OSError, and then still know what the file holds."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                count = self.write(rest)
                self._digest.update(rest[:count])
                self.size_bytes += count
                rest = rest[count:]
        reached(CrashPoint.CHUNK_WRITTEN)

    def cut(self) -> None:
        """Cut off what an earlier try left behind the good bytes."""
        self.truncate(self.size_bytes)


class PartWriter:
    """Writes bytes on threads while the next ones are on their way."""

    def __init__(self, part: PartFile, threads: Executor, write_note: Callable[[], None]) -> None:
        """`write_note` notes how far the part is; called on a thread, now and then."""
        self._file = wrap(part, executor=threads)
        self._threads, self._write_note = threads, write_note
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Future[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._wrote_s = self._noted_s = self._loop.time()

    async def add(self, chunk: bytes) -> None:
        """Take these bytes; wait only if the disk is slower than the network."""
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= FULL_BYTES:
            await self._written()
        now_s = self._loop.time()
        if self._writing is not None and self._writing.done():
            await self._written()
        late = now_s - self._wrote_s >= WRITE_AFTER_S
        if self._writing is None and (late or self._waiting_bytes >= WRITE_BYTES):
            if now_s - self._noted_s >= NOTE_AFTER_S:
                self._noted_s = now_s
                await self._loop.run_in_executor(self._threads, self._write_note)
            self._wrote_s = now_s
            self._start()

    async def flush(self) -> None:
        """Write the rest; afterwards no thread is at the file, however the download has ended."""
        await self._written()
        if self._waiting:
            self._start()
            await self._written()

    def _start(self) -> None:
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._writing = asyncio.ensure_future(self._file.writelines(pieces))

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await finished(writing)


async def finished(work: asyncio.Future[T]) -> T:
    """Wait for work on a thread, to its end even if this task is cancelled meanwhile."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        with suppress(Exception):  # nobody needs it now, but it is not left running
            await work
        raise
