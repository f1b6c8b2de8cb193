"""Group commit: many appends, one write and one fsync, off the event loop.

While one fsync is under way, new lines gather; they leave together with the next. So a lone
append costs one fsync and a thousand at once cost hardly more.

A failed write is cut back to the last good size. A failed fsync is final: the kernel may have
dropped what it could not write, so what is on disk is no longer known.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.durable import sync_file


class GroupCommit:
    """The one writer of a file that is only ever appended to."""

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size_bytes = size_bytes
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._failure: LocalIOError | None = None

    async def append(self, line: bytes) -> None:
        """When this returns, the line is on disk. Raises `LocalIOError`, and from then on always.

        A caller that is cancelled while it waits loses the answer, not the line.
        """
        if self._failure is not None:
            raise self._failure
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def close(self) -> None:
        """Wait for what was appended, then close the file."""
        if self._flusher is not None:
            await self._flusher
        self._thread.shutdown()
        os.close(self._fd)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            data = b"".join(line for line, _ in batch)
            try:
                if self._failure is None:
                    await loop.run_in_executor(self._thread, self._write, data)
            except OSError as error:
                self._failure = LocalIOError(f"{self._path}: {error.strerror or error}")
            self._answer(batch)
        self._flusher = None

    def _answer(self, batch: list[tuple[bytes, asyncio.Future[None]]]) -> None:
        for _, done in batch:
            if done.done():
                continue
            if self._failure is None:
                done.set_result(None)
            else:
                done.set_exception(self._failure)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self._size_bytes)
            raise
        sync_file(self._fd)
        self._size_bytes += len(data)
