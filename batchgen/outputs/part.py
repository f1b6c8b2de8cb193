"""The bytes of one output as they come in: written and digested in the same pass, on threads."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path

from aiofiles.threadpool import wrap

from batchgen.crashpoints import CrashPoint, reached

READ_BYTES = 1 << 20
WRITE_BYTES = 1 << 19
"""What is worth a write; less than that waits for more, though not for long."""
FULL_BYTES = 1 << 20
"""What may wait for the disk before the network has to wait too."""
WRITE_AFTER_S = 0.2
MARK_AFTER_S = 0.5
"""How often a slow download is noted; a kill costs what came since."""


class Part(io.FileIO):
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


class Intake:
    """Lets bytes be written while the next ones are on their way."""

    def __init__(self, part: Part, threads: Executor, mark: Callable[[], None]) -> None:
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
