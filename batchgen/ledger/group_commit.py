"""Group commit: many appends, one write and one fsync, off the event loop.

While one fsync is under way, new lines gather; they leave together with the next. So a lone
append costs one fsync and a thousand at once cost hardly more.

What may go wrong, and what is promised then
- No space: the batch is cut off again. Lines that say what was paid for are written into the room
  that was set aside for them (`DiskReserve`); lines that would lead to a payment fail.
- A failed fsync is final: the kernel may have dropped what it could not write, so nobody knows
  what is on disk.
- The file is gone, or longer than what was written: somebody else has a hand in it. Final too.

Room that is set aside on the disk, so that answers to what was paid for can be written there.

A POST whose answer cannot be written would be a doubt for a person to resolve. So the run keeps a
small file beside the ledger, and gives its room back to the disk the moment that is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from batchgen.core.errors import LocalIOError
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import sync_file

RESERVE_NAME = "ledger.reserve"
RESERVE_BYTES = 256 << 10
"""Enough for some hundred answers, more than are ever on their way at once."""


class DiskReserve:
    """One file of `RESERVE_BYTES`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def take(cls, run_dir: Path) -> DiskReserve:
        """Raises `LocalIOError` where there is no room: nothing may be submitted then."""
        path = run_dir / RESERVE_NAME
        reserve = cls(path)
        try:
            if not path.exists() or path.stat().st_size != RESERVE_BYTES:
                _fill(path)
        except OSError as error:
            reserve.release()
            raise LocalIOError(
                f"{path}: {error.strerror}; a run needs {RESERVE_BYTES >> 10} kB to spare, so that"
                " it can always write down what was paid for"
            ) from error
        return reserve

    def release(self) -> None:
        """Give the room back. The second time changes nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _fill(path: Path) -> None:
    """With bytes that no file system can compress away or leave out."""
    with path.open("wb") as file:
        file.write(os.urandom(RESERVE_BYTES))
        file.flush()
        sync_file(file.fileno())


_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(slots=True)
class _Batch:
    """Lines that leave together."""

    lines: list[bytes] = field(default_factory=list)
    done: list[asyncio.Future[int]] = field(default_factory=list)
    optional: set[int] = field(default_factory=set)
    """Places of the lines that are only written where there is room."""
    begin: int = 0
    """Offset of the first line that was written."""
    skipped: set[int] = field(default_factory=set)
    """Places of the lines for which there was no room."""
    full: LocalIOError | None = None
    """Why lines were skipped."""
    failure: LocalIOError | None = None
    """Why nothing of this is known to be on disk."""


class GroupCommit:
    """The one writer of a file that is only ever appended to. Lives in one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        size_bytes: int,
        reserve: DiskReserve | None = None,
        sync: Callable[[int], None] | None = None,
    ) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size_bytes = size_bytes
        self._reserve = reserve
        self._sync = sync or sync_file
        self._next = _Batch()
        self._busy = False
        self._idle = asyncio.Event()
        self._full: LocalIOError | None = None
        self._failure: LocalIOError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def append(self, line: bytes, *, optional: bool = False) -> asyncio.Future[int]:
        """When the future is done, the line is on disk, at the offset that it tells.

        Its error is a `LocalIOError`, and once there was one, for every later line as well. A
        disk that is full fails `optional` lines first. A caller that is cancelled while it waits
        loses the answer, not the line.
        """
        loop = self._loop = self._loop or asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        failure = self._failure or (self._full if optional else None)
        if failure is not None:
            done.set_exception(failure)
            return done
        batch = self._next
        if optional:
            batch.optional.add(len(batch.lines))
        batch.lines.append(line)
        batch.done.append(done)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._hand_over)  # with all that this round of the loop brings
        return done

    async def close(self) -> None:
        """Wait for what was appended, then close the file."""
        while self._busy:
            self._idle.clear()
            await self._idle.wait()
        self._queue.put(None)
        self._thread.join()
        os.close(self._fd)
        if self._reserve is not None:
            self._reserve.release()

    # On the loop.

    def _hand_over(self) -> None:
        batch, self._next = self._next, _Batch()
        self._queue.put(batch)

    def _written(self, batch: _Batch) -> None:
        """Wake the callers, then go on with the next batch.

        Those who are woken often have a next line at once. Where they are the many, the next
        batch waits for them: else it would leave with a few, and all of them wait for two syncs.
        """
        are_many = 2 * len(self._next.lines) < len(batch.lines)
        if not are_many:
            self._hand_over()
        self._wake(batch)
        if are_many:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._next.lines:
            self._hand_over()
        else:
            self._busy = False
            self._idle.set()

    def _wake(self, batch: _Batch) -> None:
        if batch.failure is not None or batch.skipped:
            self._wake_with_bad_news(batch)
            return
        offset = batch.begin
        for line, done in zip(batch.lines, batch.done, strict=True):
            if not done.done():
                done.set_result(offset)
            offset += len(line)

    def _wake_with_bad_news(self, batch: _Batch) -> None:
        offset = batch.begin
        for place, (line, done) in enumerate(zip(batch.lines, batch.done, strict=True)):
            skipped = batch.full if place in batch.skipped else None
            failure = batch.failure or skipped
            if done.done():
                pass
            elif failure is None:
                done.set_result(offset)
            else:
                done.set_exception(failure)
            if skipped is None:
                offset += len(line)

    # In the thread.

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            if self._failure is None:
                self._commit(batch)
            else:
                batch.failure = self._failure
            assert self._loop is not None, "a batch comes from a loop"  # noqa: S101
            self._loop.call_soon_threadsafe(self._written, batch)

    def _commit(self, batch: _Batch) -> None:
        try:
            self._write(batch)
            reached(CrashPoint.LINE_WRITTEN)
            self._sync(self._fd)
            self._check_ours()
        except OSError as error:
            self._failure = batch.failure = self._error(error.strerror or str(error))
        except LocalIOError as error:
            self._failure = batch.failure = error

    def _write(self, batch: _Batch) -> None:
        batch.begin = self._size_bytes
        try:
            self._put(b"".join(batch.lines))
        except OSError as error:
            if error.errno not in _NO_SPACE or self._reserve is None:
                raise
            self._full = batch.full = self._error(f"{error.strerror}; free some space")
            self._reserve.release()
            batch.skipped = batch.optional
            kept = (line for n, line in enumerate(batch.lines) if n not in batch.optional)
            self._put(b"".join(kept))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
                if view:
                    reached(CrashPoint.LINE_HALF_WRITTEN)
        except OSError:
            os.ftruncate(self._fd, self._size_bytes)
            raise
        self._size_bytes += len(data)

    def _check_ours(self) -> None:
        """Raises `LocalIOError` where what was written is not what lies under the name now."""
        status = os.fstat(self._fd)
        if status.st_nlink == 0:
            raise self._error("it was removed or replaced while a run writes it")
        if status.st_size != self._size_bytes:
            raise self._error(
                f"it has {status.st_size:,} bytes where this run wrote {self._size_bytes:,};"
                " something else writes it, perhaps another machine on a shared disk"
            )

    def _error(self, what: str) -> LocalIOError:
        return LocalIOError(f"{self._path}: {what}; nothing more is submitted")
