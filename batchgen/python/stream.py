"""The jobs of a run as an asynchronous iterator: each one as it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Self

from batchgen.python.background_run import BackgroundRun
from batchgen.python.results import Job, Summary


class Inbox:
    """Jobs on their way from the run's thread to the loop that reads them."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()  # safe for one thread that adds and one that takes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._reader: asyncio.Task[object] | None = None
        self.on_reader_gone: Callable[[], None] = lambda: None
        """Called, from any thread, if nobody will read any more."""

    def put(self, job: Job) -> None:
        """Add a job; called from the run's thread."""
        self._jobs.append(job)
        self.wake()

    def wake(self) -> None:
        """Let the reader look; called from the run's thread."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed
            self.on_reader_gone()

    def take(self) -> Job | None:
        """Return the next job; None if there is none yet."""
        return self._jobs.popleft() if self._jobs else None

    def read_here(self) -> None:
        """Let jobs be read on the running loop, in the present task."""
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None and task is not self._reader:
            self._reader = task
            task.add_done_callback(self._follow_end)

    def _follow_end(self, task: asyncio.Task[object]) -> None:
        """Notice that a task that reads has failed: its exception may keep the stream alive.

        One that ended well may have handed the stream on. `exception()` would count as reading it,
        and silence asyncio's report of an exception that nobody looks at.
        """
        if task is self._reader and (task.cancelled() or task.get_stack()):
            self.on_reader_gone()

    async def wait(self) -> None:
        """Wait for the next job, or for the end of the run."""
        if not self._jobs:
            await self._news.wait()
        self._news.clear()


_GUARDS: set[AsyncGenerator[None, None]] = set()
"""One for each run that has not ended: the loop itself remembers generators only weakly."""


async def _guard(run: BackgroundRun[Summary]) -> AsyncGenerator[None, None]:
    """Wait until the run has drained when the loop that reads it shuts down.

    `asyncio.run` closes every asynchronous generator that was begun, and waits for that; a task it
    may cancel before that has taken its first step.
    """
    try:
        yield
    finally:
        run.stop()
        await run.drained()


class JobStream:
    """Yields each job of a run as it ends (`async for`).

    The run begins with the first job that is asked for. Leaving the loop early, closing the stream
    or cancelling the task that reads it drains the run as Ctrl-C does: nothing more is submitted,
    and answers on their way are recorded.
    """

    def __init__(self, begin: Callable[[Inbox], BackgroundRun[Summary]]) -> None:
        self._begin = begin
        self._inbox = Inbox()
        self._run: BackgroundRun[Summary] | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job:
        """Return the next job that has ended. Raises `BatchgenError` if the run cannot begin."""
        self._inbox.read_here()
        run = self._run or await self._begun()
        try:
            while True:
                has_ended = run.has_ended  # asked first: what it handed over before is in the inbox
                if (job := self._inbox.take()) is not None:
                    return job
                if has_ended:
                    await self._end()
                    run.outcome()  # an error is raised here
                    raise StopAsyncIteration
                await self._inbox.wait()
        except asyncio.CancelledError:
            run.stop()
            await run.drained()
            raise

    async def aclose(self) -> None:
        """Drain the run, if it is not over, and wait for that."""
        if self._run is not None:
            self._run.stop()
            await self._run.drained()
            await self._end()

    def __del__(self) -> None:
        """Drain the run if the loop over it was left early; the run's thread goes on until then."""
        run = getattr(self, "_run", None)
        if run is not None:
            run.stop()

    async def _begun(self) -> BackgroundRun[Summary]:
        run = self._run = self._begin(self._inbox)
        self._inbox.on_reader_gone = run.stop
        guard = self._guard = _guard(run)
        _GUARDS.add(guard)
        await anext(guard)
        run.when_ended(lambda: _GUARDS.discard(guard))
        run.when_ended(self._inbox.wake)
        return run

    async def _end(self) -> None:
        if self._guard is not None:
            await self._guard.aclose()
