"""The tasks of a run: started and counted in one place, so that none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from batchgen.core.errors import LocalIOError


class TaskGroup:
    """Short tasks. `on_end` is called after each, `on_error` after each that raised."""

    def __init__(self, on_end: Callable[[], None], on_error: Callable[[], None]) -> None:
        self.disk_error: LocalIOError | None = None
        """The first refusal of the local disk."""
        self.defect: BaseException | None = None
        """The first other exception: a mistake in this program."""
        self._on_end, self._on_error = on_end, on_error
        self._all: set[asyncio.Task[None]] = set()
        self._posts: set[asyncio.Task[None]] = set()
        self._on_defect: dict[asyncio.Task[None], Callable[[Exception], None]] = {}

    @property
    def posting(self) -> int:
        """Number of submissions on their way."""
        return len(self._posts)

    def spawn(
        self,
        work: Coroutine[Any, Any, None],
        *,
        posts: bool = False,
        on_defect: Callable[[Exception], None] | None = None,
    ) -> None:
        """Start a task; `drain` waits for one that posts.

        `on_defect` is for a task of one job: it is called with what the task raised by a mistake in
        this program, and the other tasks continue.
        """
        task = asyncio.create_task(work)
        if on_defect is not None:
            self._on_defect[task] = on_defect
        self._all.add(task)
        if posts:
            self._posts.add(task)
        task.add_done_callback(self._ended)

    async def drain(self, drain_s: float) -> None:
        """Wait for POSTs that have left to be answered and recorded; cancel everything else."""
        for task in self._all - self._posts:
            task.cancel()
        if self._posts:
            await asyncio.wait(self._posts, timeout=drain_s)
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._all.discard(task)
        self._posts.discard(task)
        on_defect = self._on_defect.pop(task, None)
        self._on_end()
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, LocalIOError):
            self.disk_error = self.disk_error or error
        elif on_defect is not None and isinstance(error, Exception):
            try:
                on_defect(error)
            except Exception as defect:  # noqa: BLE001 - what keeps count of the jobs is broken
                self.defect = self.defect or defect
                self._on_error()
            return
        else:
            self.defect = self.defect or error
        self._on_error()
