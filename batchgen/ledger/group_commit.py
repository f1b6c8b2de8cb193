"""Group commit: many appends share one write and one fsync, off the event loop.

While one fsync is under way, new lines gather; they are written together by the next. So a single
append costs one fsync, and a thousand at once cost hardly more.

What can go wrong, and what is promised then
- No space: the batch is cut off again. Lines that record what was paid for are written into the
  room that was set aside for them (`DiskReserve`); lines that would lead to a payment fail.
- A failed fsync is final: the kernel may have dropped what it could not write, so nobody knows
  what is on disk.
- The file was removed or is longer than what was written: something else writes it. Final too.
- The run directory was moved: what was paid for is still recorded, in the file where it is now, and
  every caller hears of it, so that the run ends; lines that would lead to a payment fail.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from batchgen.core.errors import LocalIOError
from batchgen.ledger.disk_reserve import DiskReserve
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import sync_file

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(slots=True)
class _Batch:
    """Lines that are written together, each with the future of its caller."""

    lines: list[bytes] = field(default_factory=list)
    callers: list[asyncio.Future[int]] = field(default_factory=list)
    optional: set[int] = field(default_factory=set)
    """Indexes of the lines that are written only if there is space."""
    begin: int = 0
    """Offset of the first line that was written."""
    failed: list[asyncio.Future[int]] = field(default_factory=list)
    """Callers whose lines were not written, or may not be on disk."""
    failure: LocalIOError | None = None
    """The reason why they failed."""

    def fail(self, failure: LocalIOError, indexes: set[int]) -> None:
        """Take out the lines at these indexes."""
        self.failure = failure
        self.failed += [self.callers[index] for index in indexes]
        rest = [index for index in range(len(self.lines)) if index not in indexes]
        self.lines = [self.lines[index] for index in rest]
        self.callers = [self.callers[index] for index in rest]


class GroupCommit:
    """The only writer of a file that is only appended to. Belongs to one event loop."""

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
        self._is_named = self._has_its_name()  # false on file systems that number files anew
        self._next = _Batch()
        self._busy = False
        self._idle = asyncio.Event()
        self._optional_failure: LocalIOError | None = None
        self._failure: LocalIOError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def append(self, line: bytes, *, optional: bool = False) -> asyncio.Future[int]:
        """Return a future that is done when the line is on disk; its result is the line's offset.

        Its exception is a `LocalIOError`, and after the first one every later line fails as well.
        A full disk fails only `optional` lines, as long as the reserve lasts. In a directory that
        was moved, other lines are written although their callers hear of the failure. A caller
        that is cancelled while it waits loses the result, not the line.
        """
        loop = self._loop = self._loop or asyncio.get_running_loop()
        caller: asyncio.Future[int] = loop.create_future()
        failure = self._failure or (self._optional_failure if optional else None)
        if failure is not None:
            caller.set_exception(failure)
            return caller
        batch = self._next
        if optional:
            batch.optional.add(len(batch.lines))
        batch.lines.append(line)
        batch.callers.append(caller)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._hand_over)  # with everything that this round of the loop brings
        return caller

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

    def _end_batch(self, batch: _Batch) -> None:
        """Wake the callers, then write the next batch.

        A caller that is woken often has its next line at once. If those callers are the majority,
        the next batch waits for them: it would otherwise leave with few lines, and all the others
        would wait for two syncs.
        """
        is_majority = 2 * len(self._next.lines) < len(batch.callers) + len(batch.failed)
        if not is_majority:
            self._hand_over()
        _wake_callers(batch)
        if is_majority:
            asyncio.get_running_loop().call_soon(self._hand_over_or_idle)

    def _hand_over_or_idle(self) -> None:
        if self._next.lines:
            self._hand_over()
        else:
            self._busy = False
            self._idle.set()

    # In the thread.

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            if self._failure is None:
                self._commit(batch)
            if self._failure is not None:
                batch.fail(self._failure, set(range(len(batch.lines))))
            assert self._loop is not None, "a batch comes from a loop"  # noqa: S101
            self._loop.call_soon_threadsafe(self._end_batch, batch)

    def _commit(self, batch: _Batch) -> None:
        try:
            self._write(batch)
            reached(CrashPoint.LINE_WRITTEN)
            self._sync(self._fd)
            self._check_file()
            if self._is_named and not self._has_its_name():
                self._optional_failure = self._moved()
                batch.fail(self._optional_failure, set(range(len(batch.lines))))
        except OSError as error:
            self._failure = self._error(error.strerror or str(error))
        except LocalIOError as error:
            self._failure = error

    def _write(self, batch: _Batch) -> None:
        batch.begin = self._size_bytes
        try:
            self._write_bytes(b"".join(batch.lines))
        except OSError as error:
            if error.errno not in _NO_SPACE or self._reserve is None:
                raise
            self._optional_failure = self._error(f"{error.strerror}; free some space")
            self._reserve.release()
            batch.fail(self._optional_failure, batch.optional)
            self._write_bytes(b"".join(batch.lines))

    def _write_bytes(self, data: bytes) -> None:
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

    def _check_file(self) -> None:
        """Raise `LocalIOError` if the file is not what this run has written, or has no name."""
        status = os.fstat(self._fd)
        if status.st_nlink == 0:
            raise self._error("it was removed or replaced while a run writes it")
        if status.st_size != self._size_bytes:
            raise self._error(
                f"it has {status.st_size:,} bytes although this run wrote {self._size_bytes:,};"
                " something else writes it, perhaps another machine on a shared disk"
            )

    def _has_its_name(self) -> bool:
        """Tell whether the path still leads to the file that is written."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError:
            return False

    def _moved(self) -> LocalIOError:
        """Return the error for a ledger that is no longer where the next run looks for it."""
        try:
            place = str(Path(f"/proc/self/fd/{self._fd}").readlink().parent)
        except OSError:  # not Linux
            place = "its new place"
        return self._error(
            f"the run directory was moved to {place} while a run uses it. Move it back, or name it"
            f" with --run-dir {place}: a run without this ledger would pay for everything again"
        )

    def _error(self, what: str) -> LocalIOError:
        return LocalIOError(f"{self._path}: {what}; nothing more is submitted")


def _wake_callers(batch: _Batch) -> None:
    offset = batch.begin
    for line, caller in zip(batch.lines, batch.callers, strict=True):
        if not caller.done():
            caller.set_result(offset)
        offset += len(line)
    for caller in batch.failed:
        if not caller.done():
            assert batch.failure is not None, "what failed has a reason"  # noqa: S101
            caller.set_exception(batch.failure)
