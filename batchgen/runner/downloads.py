"""What is to be downloaded, and how many at once. No generation slot waits for any of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from batchgen.core.jobs import Job
from batchgen.runner.collection import Collector
from batchgen.runner.crew import Crew
from batchgen.runner.stopping import Stop


class Downloads:
    """First come, first fetched."""

    def __init__(
        self,
        collector: Collector,
        crew: Crew,
        stop: Stop,
        *,
        at_once: int,
        on_collected: Callable[[str, Job | None], None],
    ) -> None:
        self._collector, self._crew, self._stop = collector, crew, stop
        self._at_once = at_once
        self._on_collected = on_collected
        self._waiting: deque[tuple[str, Job | None]] = deque()
        self._under_way = 0

    def add(self, job_id: str, job: Job | None) -> None:
        """Let a completed job wait for its turn; `job` is its row, if that may be submitted."""
        self._waiting.append((job_id, job))

    @property
    def pending(self) -> bool:
        """Whether any is left to do."""
        return bool(self._waiting or self._under_way)

    @property
    def limits_speed(self) -> bool:
        """Whether more wait than can be fetched at once."""
        return len(self._waiting) > self._at_once

    def start(self) -> None:
        """As many as may run."""
        while self._waiting and not self._stop.downloads and self._under_way < self._at_once:
            self._under_way += 1
            self._crew.spawn(self._download(*self._waiting.popleft()))

    async def _download(self, job_id: str, job: Job | None) -> None:
        try:
            ended = await self._collector.collect(job_id)
        finally:
            self._under_way -= 1
        if ended:
            self._on_collected(job_id, job)
