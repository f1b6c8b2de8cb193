"""The work on one file: fetch it into a part, check it, and put it under its name.

It can be done twice without harm, and on another machine: it needs to know neither the ledger nor
the other files. What must be decided in one place (names, notes) comes in from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from batchgen.core.events import OutputFile
from batchgen.net.http_get import HttpGet
from batchgen.outputs.destination import Destination
from batchgen.outputs.fetcher import Fetcher
from batchgen.outputs.part_file import PartFile, ResumeNote, digest_of, finished
from batchgen.outputs.publish import Publisher
from batchgen.ports import Clock
from batchgen.system.files import make_below

T = TypeVar("T")


class FilePool(Protocol):
    """Whoever fetches files: this process, or workers elsewhere."""

    async def fetch(self, note: ResumeNote, url: str, path: str | None) -> OutputFile:
        """Fetch, check and publish one output, under `path` or else the name in the note.

        Raise `DownloadPostponed` for what network or server do, `Unreachable` if the destination
        cannot be reached, and OSError or `LocalIOError` for what a disk does.
        """
        ...


class MakePool(Protocol):
    """A function that makes the pool of a store, given what only the store can decide."""

    def __call__(
        self, *, claim: Callable[[str], str], remember: Callable[[ResumeNote], None]
    ) -> FilePool:
        """Return the pool: `claim` gives the next free name, `remember` keeps a note."""
        ...


@dataclass(slots=True, kw_only=True)
class FileWorker:
    """Works in this process; a `FilePool`."""

    root: Path
    """The run directory: parts are not made in a directory that has gone."""
    destination: Destination
    claim: Callable[[str], str]
    """Gives the next free name if one is taken."""
    remember: Callable[[ResumeNote], None]
    """Keeps the note of what has been received; called on threads."""
    http: HttpGet
    clock: Clock
    threads: Executor
    max_file_bytes: int
    stall_s: float
    on_defect: Callable[[str], None]
    _fetcher: Fetcher = field(init=False)
    _publisher: Publisher = field(init=False)

    def __post_init__(self) -> None:
        self._fetcher = Fetcher(
            http=self.http, clock=self.clock, threads=self.threads,
            max_file_bytes=self.max_file_bytes, stall_s=self.stall_s, on_defect=self.on_defect,
        )  # fmt: skip
        self._publisher = Publisher(
            destination=self.destination, claim=self.claim, remember=self.remember
        )

    async def fetch(self, note: ResumeNote, url: str, path: str | None) -> OutputFile:
        """Fetch, check and publish one output; raise as `FilePool.fetch`."""
        part = await self._on_thread(self._open_part, note)
        try:
            if not part.size_bytes:
                note = note.without_bytes()
            if not part.size_bytes or part.size_bytes != note.total_bytes:
                note = await self._fetcher.fetch(note, part, url, self.remember)
            return await self._on_thread(self._publisher.publish, note, part, path)
        finally:
            if not part.closed:
                await self._on_thread(part.close)

    def _open_part(self, note: ResumeNote) -> PartFile:
        path = self.destination.part_path(note.stem, digest_of(note.key))
        make_below(path.parent, self.root)
        part = PartFile(path)
        part.resume(note.received_bytes, note.sha256)
        return part

    async def _on_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        return await finished(loop.run_in_executor(self.threads, work, *args))
