"""What is to be downloaded, and how many at once. No generation slot waits for any of it.

Downloads, in a pool of their own: a slow one holds no generation slot.

Nothing in here can lead back to a submission. What cannot be fetched now stays `completed`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.core.api_answers import Gone, Produced
from batchgen.core.events import Event, Failed, JobError, OutputFile, Saved
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord
from batchgen.core.throttle import Backoff
from batchgen.ports import (
    Clock,
    FilesSaved,
    GenerationAPI,
    Ledger,
    LinkExpired,
    Observer,
    OutputStore,
    SaveLater,
)
from batchgen.runner.stopping import Stop
from batchgen.runner.tasks import TaskGroup
from batchgen.system.crash_points import CrashPoint, reached

MAX_FRUITLESS_TRIES = 5
"""Tries in a row without a new byte, after which a download is left for the next run."""


@dataclass(slots=True, kw_only=True)
class Collector:
    """Fetches the outputs of one job after another."""

    api: GenerationAPI
    ledger: Ledger
    outputs: OutputStore
    clock: Clock
    observer: Observer
    jitter: Callable[[], float]
    backoff: Backoff = field(default_factory=Backoff)

    async def collect(self, job: str) -> bool:
        """Save every output of a completed job; whether the job has come to its end.

        Raises `LocalIOError` for what is wrong with the local disk.
        """
        reached(CrashPoint.DOWNLOAD_BEGINS)
        urls, known = self._urls(job), self._known(job)
        renewed, fruitless = False, 0
        while True:
            answer = await self.outputs.save(job, urls, known)
            if isinstance(answer, FilesSaved):
                await self._record(job, Saved(files=answer.files))
                self.outputs.settled(job)
                return True
            if not renewed and _may_be_stale(answer):
                renewed = True
                fresh = await self._renew(job)
                if fresh is None:
                    return True
                urls = fresh or urls
                continue
            fruitless = 1 if _got_bytes(answer) else fruitless + 1
            if fruitless >= MAX_FRUITLESS_TRIES or _is_hopeless(answer):
                return self._left(job, answer.error)
            await self.clock.sleep(self._delay_s(answer, fruitless))

    def _urls(self, job: str) -> tuple[str, ...]:
        record = self.ledger.get(job)
        return record.outputs if record else ()

    def _known(self, job: str) -> tuple[OutputFile, ...]:
        """Files that the job had before one of them was lost."""
        record = self.ledger.get(job)
        return record.files if record else ()

    async def _renew(self, job: str) -> tuple[str, ...] | None:
        """Fresh URLs of the same outputs; none where there are none; None where all is gone."""
        record = self.ledger.get(job)
        look = await self.api.result((record and record.request_id) or "")
        if isinstance(look, Gone):
            await self._record(job, Failed(error=look.error))
            return None
        return look.outputs if isinstance(look, Produced) else ()

    def _delay_s(self, answer: LinkExpired | SaveLater, fruitless: int) -> float:
        retry_after_s = answer.retry_after_s if isinstance(answer, SaveLater) else None
        return self.backoff.delay_s(fruitless, jitter=self.jitter(), retry_after_s=retry_after_s)

    def _left(self, job: str, error: JobError) -> bool:
        self.observer.on_note(
            f"job {job!r}: not downloaded, left for the next run: {error.message}"
        )
        return False

    async def _record(self, job: str, event: Event) -> JobRecord:
        record = await self.ledger.record(job, event)
        self.observer.on_event(job, event, record)
        return record


def _may_be_stale(answer: LinkExpired | SaveLater) -> bool:
    """Whether fresh URLs may help: the link has expired, or its host gave nothing at all."""
    return isinstance(answer, LinkExpired) or not (answer.received_bytes or answer.hopeless)


def _got_bytes(answer: LinkExpired | SaveLater) -> bool:
    return isinstance(answer, SaveLater) and answer.received_bytes > 0


def _is_hopeless(answer: LinkExpired | SaveLater) -> bool:
    return isinstance(answer, SaveLater) and answer.hopeless


class Downloads:
    """First come, first fetched."""

    def __init__(
        self,
        collector: Collector,
        crew: TaskGroup,
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
