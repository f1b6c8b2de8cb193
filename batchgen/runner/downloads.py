"""The download pool: which outputs are fetched next, and what follows each try.

No generation slot waits for a download, and nothing in here can lead back to a submission: what
cannot be fetched now stays `completed`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from batchgen.core.api_answers import Gone, Produced, TryAgain
from batchgen.core.events import Failed, Saved
from batchgen.core.jobs import Job
from batchgen.core.throttle import Backoff, DeliveryHealth
from batchgen.ports import FilesSaved, LinkExpired, OutputStore, SaveAnswer, SaveLater
from batchgen.runner.context import RunContext
from batchgen.runner.tasks import TaskGroup
from batchgen.system.crash_points import CrashPoint, reached

MAX_FRUITLESS_TRIES = 5
"""Tries in a row without a new byte, after which a download is left for the next run."""


class Downloads:
    """Fetches the outputs of completed jobs, first come, first served."""

    def __init__(
        self,
        context: RunContext,
        outputs: OutputStore,
        tasks: TaskGroup,
        *,
        on_ended: Callable[[str, Job | None], None],
        on_defect: Callable[[str, Exception], None],
    ) -> None:
        self._context, self._outputs, self._tasks = context, outputs, tasks
        self._on_ended, self._on_defect = on_ended, on_defect
        self._backoff = Backoff()
        self._health = DeliveryHealth()
        self._waiting: deque[tuple[str, Job | None]] = deque()
        self._under_way = 0

    def add(self, job: str, row: Job | None) -> None:
        """Let a completed job wait for its turn; `row` is its row, if that may be submitted."""
        self._waiting.append((job, row))

    @property
    def pending(self) -> bool:
        """True if any is waiting or under way."""
        return bool(self._waiting or self._under_way)

    @property
    def limits_speed(self) -> bool:
        """True if more are waiting than can be fetched at once."""
        return len(self._waiting) > self._context.limits.downloads

    def start(self) -> None:
        """Start as many as may run."""
        limit = self._context.limits.downloads
        while self._waiting and self._under_way < limit and not self._context.stop.no_downloads:
            self._under_way += 1
            job, row = self._waiting.popleft()
            defect = partial(self._on_defect, job)
            self._tasks.spawn(self._download(job, row), on_defect=defect)

    async def _download(self, job: str, row: Job | None) -> None:
        try:
            ended = await self._collect(job)
        finally:
            self._under_way -= 1
        if ended:
            self._on_ended(job, row)

    async def _collect(self, job: str) -> bool:
        """Save every output of a completed job; return whether the job has come to its end.

        Raise `LocalIOError` if the local disk refuses.
        """
        reached(CrashPoint.DOWNLOAD_BEGINS)
        record = self._context.ledger.get(job)
        urls = record.outputs if record else ()
        known = record.files if record else ()  # files that the job had before one was lost
        renewed, fruitless = False, 0
        while True:
            answer = await self._outputs.save(job, urls, known)
            if isinstance(answer, FilesSaved) or _has_bytes(answer):
                self._health.delivered(self._context.clock.monotonic_s())
            else:
                self._health.failed()
            if isinstance(answer, FilesSaved):
                await self._context.record(job, Saved(files=answer.files))
                self._outputs.settled(job)
                return True
            has_expired = isinstance(answer, LinkExpired)
            if isinstance(answer, LinkExpired):
                answer = SaveLater(error=answer.error)
            # Fresh URLs may help if the link has expired or its host gave nothing at all, not even
            # a time at which to come back.
            is_dead = not (answer.received_bytes or answer.hopeless or answer.retry_after_s)
            if is_dead and not renewed:
                result = await self._context.api.result((record and record.request_id) or "")
                if isinstance(result, Gone) and has_expired:
                    await self._context.record(job, Failed(error=result.error))
                    return True
                # A renewal without an answer is none: the next try asks again.
                renewed = not isinstance(result, TryAgain)
                if isinstance(result, Produced):
                    urls = result.outputs or urls
                if renewed:
                    continue
            fruitless = 1 if answer.received_bytes else fruitless + 1
            if fruitless >= MAX_FRUITLESS_TRIES or answer.hopeless:
                self._context.observer.on_note(
                    f"job {job!r}: not downloaded, left for the next run: {answer.error.message}"
                )
                return False
            await self._context.clock.sleep(self._delay_s(answer, fruitless))

    def _delay_s(self, answer: SaveLater, fruitless: int) -> float:
        """Return the pause before the next try.

        An error of a host that has just delivered other files is bad luck: the pauses grow only if
        nothing is delivered any more, or if the host cannot be reached.
        """
        is_unlucky = answer.error.http_status is not None and self._health.is_good(
            self._context.clock.monotonic_s()
        )
        return self._backoff.delay_s(
            1 if is_unlucky else fruitless,
            jitter=self._context.jitter(),
            retry_after_s=answer.retry_after_s,
        )


def _has_bytes(answer: SaveAnswer) -> bool:
    return isinstance(answer, SaveLater) and bool(answer.received_bytes)
