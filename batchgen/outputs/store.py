"""The output store (port `OutputStore`): fetch, check, name and publish the files of a job.

An output is received as a part, checked, and only then put under its final name: a file under a
final name is whole, and no existing file is ever overwritten. What was received is noted, so that
the next try resumes it, also one in another process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import UrlPolicy, without_query
from batchgen.outputs.answers import DownloadPostponed, Unreachable, save_later
from batchgen.outputs.destination import Destination
from batchgen.outputs.fetcher import STALL_S
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.file_worker import FilePool, FileWorker, MakePool
from batchgen.outputs.part_file import Key, ResumeNote, ResumeNotes, digest_of, finished
from batchgen.outputs.sidecar import put_sidecar
from batchgen.ports import Clock, FilesSaved, SaveAnswer, SaveLater
from batchgen.system.run_directory import RunDirectory

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_FILE_BYTES = 2 << 30
THREADS = 16
"""Twice the downloads at once: half of them may wait for the disk."""


@dataclass(slots=True, kw_only=True)
class Store:
    """Saves the outputs of one batch; used inside `async with`."""

    run_dir: Path
    destination: Destination
    url_policy: UrlPolicy
    names: FileNameClaims
    clock: Clock
    name_of: Callable[[str, int], str] = lambda job, index: f"{job}-{index}"
    """The name of an output before it is made safe and claimed."""
    max_file_bytes: int = MAX_FILE_BYTES
    stall_s: float = STALL_S
    on_defect: Callable[[str], None] = _log.error
    """Takes a sentence on a defect of this program that spoiled one download."""
    prepares: bool = True
    """False if nothing is to be fetched: then the destination is not made ready."""
    _saved: dict[Key, OutputFile] = field(default_factory=dict)
    _open: dict[Key, ResumeNote] = field(default_factory=dict)
    _notes: ResumeNotes = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)
    _http: HttpGet = field(init=False)
    make_pool: MakePool | None = None
    """Makes the pool that fetches files elsewhere; None: this process fetches them."""
    _pool: FilePool = field(init=False)

    async def __aenter__(self) -> Self:
        """Raise `LocalIOError` if the destination cannot be used."""
        self._notes = ResumeNotes(RunDirectory(self.run_dir).downloads)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="downloads")
        self._http = HttpGet(self.url_policy)
        make_pool = self.make_pool or self._local_pool
        self._pool = make_pool(claim=self.names.claim, remember=self._remember)
        await self._on_thread(self._make_ready)
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.__aexit__(*exception)
        await asyncio.to_thread(self._threads.shutdown)
        self._notes.close()

    def _local_pool(
        self, *, claim: Callable[[str], str], remember: Callable[[ResumeNote], None]
    ) -> FilePool:
        return FileWorker(
            root=self.run_dir, destination=self.destination, claim=claim, remember=remember,
            http=self._http, clock=self.clock, threads=self._threads,
            max_file_bytes=self.max_file_bytes, stall_s=self.stall_s, on_defect=self.on_defect,
        )  # fmt: skip

    def _make_ready(self) -> None:
        """Prepare the destination, and claim the names of what earlier runs left unfinished."""
        if self.prepares:
            self.destination.prepare()
            self.names.limit(self.destination.max_name_bytes)
        for note in self._notes.read():
            stems = {note.stem, note.name.rpartition(".")[0] or note.stem}
            if all(self.names.claim_exactly(stem) for stem in stems):
                self._open[note.key] = note
            else:  # the ledger knows the file by now
                self._drop(note)

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Fetch what is not there yet. Raise `LocalIOError` if the disk refuses."""
        files: list[OutputFile] = []
        for index, url in enumerate(urls, start=1):
            earlier = known[index - 1] if index <= len(known) else None
            answer = await self._save_one((job, index), url, earlier)
            if not isinstance(answer, OutputFile):
                return answer
            files.append(answer)
        return FilesSaved(files=tuple(files))

    async def put_sidecar(self, file: OutputFile, content: bytes) -> None:
        """Put a sidecar beside a file: `NAME.png.json`. Raise `LocalIOError` or `Unreachable`."""
        try:
            await self._on_thread(put_sidecar, self.destination, self.names, file.path, content)
        except OSError as error:
            raise self._refused(error) from error

    def settled(self, job: str) -> None:
        """Forget the files of this job, which the ledger knows now."""
        for key in [key for key in self._saved if key[0] == job]:  # few: the unsettled ones
            del self._saved[key]
            self._open.pop(key, None)
            self._threads.submit(self._notes.drop, key)

    async def _save_one(
        self, key: Key, url: str, earlier: OutputFile | None
    ) -> OutputFile | SaveAnswer:
        """Save one output; an `earlier` file of it stays if it is whole, else gets its path back.

        Then its digest may differ, if the server has other bytes now.
        """
        try:
            if key not in self._saved:
                self._saved[key] = await self._find_or_fetch(key, url, earlier)
            return self._saved[key]
        except DownloadPostponed as postponed:
            await self._on_thread(self._keep_for_next_try, key, postponed)
            return postponed.answer
        except Unreachable as error:
            return save_later(str(error))
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> LocalIOError:
        place, text = error.filename or self.destination.path_of(""), error.strerror or str(error)
        return LocalIOError(f"{place}: {text}; what was received is kept")

    async def _find_or_fetch(self, key: Key, url: str, earlier: OutputFile | None) -> OutputFile:
        if earlier is not None and await self._holds(earlier):
            return earlier
        if earlier is not None and not self.destination.owns(earlier.path):
            earlier = None  # it gets a new name here; what is there is left as it is
        note = self._note_of(key, earlier)
        if note.url != without_query(url):
            note = note.without_bytes()  # another output: an ETag says nothing across URLs
        if note.name and earlier is None:
            file = OutputFile(
                path=self.destination.path_of(note.name),
                bytes=note.received_bytes,
                sha256=note.sha256,
            )
            if await self._holds(file):
                await self._on_thread(self._remove_part, note)
                return file
        return await self._pool.fetch(note, url, earlier.path if earlier else None)

    async def _holds(self, file: OutputFile) -> bool:
        return not await self._on_thread(self.destination.difference, file)

    def _note_of(self, key: Key, earlier: OutputFile | None) -> ResumeNote:
        if key not in self._open:
            job, index = key
            if earlier is not None:
                stem = earlier.path.rpartition("/")[2].rpartition(".")[0]
            else:
                stem = self.names.claim(self.name_of(job, index))
            self._open[key] = ResumeNote(job=job, index=index, stem=stem)
        return self._open[key]

    # On threads.

    def _remember(self, note: ResumeNote) -> None:
        """Replace the note of an output, here and on disk."""
        self._open[note.key] = note
        self._notes.write(note)

    def _keep_for_next_try(self, key: Key, postponed: DownloadPostponed) -> None:
        if isinstance(postponed.answer, SaveLater) and postponed.answer.hopeless:
            self._drop(self._open.pop(key))
        elif postponed.note is not None:
            self._remember(postponed.note)

    def _remove_part(self, note: ResumeNote) -> None:
        self._part_path(note).unlink(missing_ok=True)

    def _drop(self, note: ResumeNote) -> None:
        self._remove_part(note)
        self._notes.drop(note.key)

    def _part_path(self, note: ResumeNote) -> Path:
        return self.destination.part_path(note.stem, digest_of(note.key))

    async def _on_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        return await finished(loop.run_in_executor(self._threads, work, *args))
