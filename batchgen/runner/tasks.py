"""The tasks of a run: started here, counted here, and never lost sight of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from batchgen.core.errors import LocalIOError


class TaskGroup:
    """Short tasks. Each end is told to `on_end`; what went wrong is kept."""

    def __init__(self, on_end: Callable[[], None], on_trouble: Callable[[], None]) -> None:
        self.failure: LocalIOError | None = None
        """The local disk refused."""
        self.defect: BaseException | None = None
        """Something that should not happen."""
        self._on_end = on_end
        self._on_trouble = on_trouble
        self._all: set[asyncio.Task[None]] = set()
        self._posts: set[asyncio.Task[None]] = set()

    @property
    def posting(self) -> int:
        """Submissions that are on their way."""
        return len(self._posts)

    def spawn(self, work: Coroutine[Any, Any, None], *, posts: bool = False) -> None:
        """Start a task; one that posts is waited for at the end, within reason."""
        task = asyncio.create_task(work)
        self._all.add(task)
        if posts:
            self._posts.add(task)
        task.add_done_callback(self._ended)

    async def drain(self, drain_s: float) -> None:
        """Let POSTs that have left be answered and recorded; end everything else."""
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
        self._on_end()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LocalIOError):
            self.failure = self.failure or error
            self._on_trouble()
        elif error is not None:
            self.defect = self.defect or error
            self._on_trouble()
