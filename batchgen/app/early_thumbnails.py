"""Thumbnails are made while other jobs are on their way, so that the end of a run does not wait.

One thread makes them. What is not made when the run ends is made then, as far as there is time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from batchgen.core.events import Event, Saved
from batchgen.core.lifecycle import JobRecord
from batchgen.ports import Observer
from batchgen.reports.results_xlsx import PICTURE_PX
from batchgen.reports.thumbnails import Thumbnails
from batchgen.system.run_directory import RunDirectory

MAX_WAITING = 20_000
"""As many as the page shows; a thumbnail of a later job would only take time."""


class EarlyThumbnails:
    """An observer that hands each saved file to the thread that inspects it."""

    def __init__(self, directory: RunDirectory, then: Observer, pool: ThreadPoolExecutor) -> None:
        self._pictures = Thumbnails(directory=directory, size_px=PICTURE_PX)
        self._then, self._pool, self._taken = then, pool, 0

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Pass the event on, and inspect what was saved."""
        self._then.on_event(job, event, record)
        if isinstance(event, Saved) and self._taken < MAX_WAITING:
            self._taken += 1
            for file in event.files:
                self._pool.submit(self._pictures.measure, file)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self._then.on_note(text)


@asynccontextmanager
async def early_thumbnails(
    directory: RunDirectory, then: Observer, *, wanted: bool = True
) -> AsyncIterator[Observer]:
    """Give an observer; what is still to be inspected at the end is left.

    Not `wanted`: whoever fetches the files inspects them too.
    """
    if not wanted:
        yield then
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")
    try:
        yield EarlyThumbnails(directory, then, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
