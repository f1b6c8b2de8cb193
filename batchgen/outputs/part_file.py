"""What is known of outputs that are on their way, on disk: so that the next process can go on.

One small file for each unfinished output, in the run directory. It says which bytes the part
begins with (by length and digest, so that a part is never taken for something it is not, whatever
a power cut left of it), and what the server called them. A note is a help, never a promise: where
it is missing or does not fit, the download begins anew.

The bytes of one output as they come in: written and digested in the same pass, on threads.
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

import msgspec
from aiofiles.threadpool import wrap

from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import replacing

Key = tuple[str, int]
"""A job and the number of its output, from 1."""


class ResumeNote(msgspec.Struct, kw_only=True, omit_defaults=True):
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


class ResumeNotes:
    """The directory of the notes; it exists only while there are any. Blocking."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._encoder = msgspec.json.Encoder()

    def read(self) -> list[ResumeNote]:
        """All that can be read; the others are removed."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=ResumeNote))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                path.unlink(missing_ok=True)
        return found

    def write(self, note: ResumeNote) -> None:
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


READ_BYTES = 1 << 20
WRITE_BYTES = 1 << 19
"""What is worth a write; less than that waits for more, though not for long."""
FULL_BYTES = 1 << 20
"""What may wait for the disk before the network has to wait too."""
WRITE_AFTER_S = 0.2
MARK_AFTER_S = 0.5
"""How often a slow download is noted; a kill costs what came since."""


class PartFile(io.FileIO):
    """A file that knows the digest of all that was written to it. Blocking; closed after use."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        super().__init__(os.open(path, flags, 0o666), "r+")
        self.path = path
        self.size_bytes = 0
        """Bytes that are good; the file may have more until it is cut off."""
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of the first `size_bytes`."""
        return self._digest.copy().hexdigest()

    def take_up(self, size_bytes: int, sha256: str) -> bool:
        """Go on behind these bytes, if it is them that the file begins with; else begin anew."""
        self.begin_anew()
        if not size_bytes:
            return True
        buffer = memoryview(bytearray(READ_BYTES))
        while self.size_bytes < size_bytes:
            count = self.readinto(buffer[: size_bytes - self.size_bytes])
            if not count:
                break
            self._digest.update(buffer[:count])
            self.size_bytes += count
        if self.size_bytes == size_bytes and self.sha256 == sha256:
            return True
        self.begin_anew()
        return False

    def begin_anew(self) -> None:
        """Nothing of it counts any more."""
        self.seek(0)
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def writelines(self, pieces: Iterable[bytes]) -> None:  # type: ignore[override]
        """All of them. Raises OSError, and then still knows what it holds."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                count = self.write(rest)
                self._digest.update(rest[:count])
                self.size_bytes += count
                rest = rest[count:]
        reached(CrashPoint.CHUNK_WRITTEN)

    def cut(self) -> None:
        """Drop what an earlier try left behind the good bytes."""
        self.truncate(self.size_bytes)


class PartWriter:
    """Lets bytes be written while the next ones are on their way."""

    def __init__(self, part: PartFile, threads: Executor, mark: Callable[[], None]) -> None:
        """`mark` notes how far the part is; called on a thread, now and then."""
        self._file = wrap(part, executor=threads)
        self._threads, self._mark = threads, mark
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Future[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._wrote_s = self._marked_s = self._loop.time()

    async def add(self, chunk: bytes) -> None:
        """Take these; waits only where the disk is slower than the network."""
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= FULL_BYTES:
            await self._written()
        now_s = self._loop.time()
        if self._writing is not None and self._writing.done():
            await self._written()
        late = now_s - self._wrote_s >= WRITE_AFTER_S
        if self._writing is None and (late or self._waiting_bytes >= WRITE_BYTES):
            if now_s - self._marked_s >= MARK_AFTER_S:
                self._marked_s = now_s
                await self._loop.run_in_executor(self._threads, self._mark)
            self._wrote_s = now_s
            self._start()

    async def flush(self) -> None:
        """Write the rest; however the download has ended, no thread is at the file afterwards."""
        await self._written()
        if self._waiting:
            self._start()
            await self._written()

    def _start(self) -> None:
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._writing = asyncio.ensure_future(self._file.writelines(pieces))

    async def _written(self) -> None:
        """Wait for the write that is on its way, even where this task is cancelled meanwhile."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        while not writing.done():
            try:
                await asyncio.wait([writing])
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                raise
        writing.result()
