"""Outputs, fetched and kept (port `OutputStore`).

An output is received as a part, checked, and only then put under its final name: whatever lies
under a final name is whole. No file that lies there already is ever overwritten. What was received
is noted, so that the next try goes on from there, also one in another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.net.url_policy import UrlPolicy
from batchgen.outputs.destination import Destination, Unreachable
from batchgen.outputs.fetcher import STALL_S, DownloadPostponed, Fetcher, later, plain
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.part_file import Key, PartFile, ResumeNote, ResumeNotes, digest_of
from batchgen.outputs.publish import Publisher
from batchgen.ports import FilesSaved, SaveAnswer, SaveLater

T = TypeVar("T")

MAX_FILE_BYTES = 2 << 30
NOTES_NAME = "downloads"
"""Directory of the notes in the run directory."""
THREADS = 16
"""Twice the downloads at once: half of them may wait for the disk."""


@dataclass(slots=True, kw_only=True)
class Store:
    """Fetches outputs and puts them where they are kept; used inside `async with`."""

    run_dir: Path
    keep: Destination
    guard: UrlPolicy
    names: FileNameClaims
    name_of: Callable[[str, int], str] = lambda job, index: f"{job}-{index}"
    """What an output is to be called, before that is made safe and claimed."""
    max_file_bytes: int = MAX_FILE_BYTES
    stall_s: float = STALL_S
    prepares: bool = True
    """Whether the place is made ready at the start; not where nothing is to be fetched."""
    _saved: dict[Key, OutputFile] = field(default_factory=dict)
    _open: dict[Key, ResumeNote] = field(default_factory=dict)
    _notes: ResumeNotes = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)
    _fetcher: Fetcher = field(init=False)
    _landing: Publisher = field(init=False)

    async def __aenter__(self) -> Self:
        """Raises `LocalIOError` where the place for the outputs cannot be used."""
        self._notes = ResumeNotes(self.run_dir / NOTES_NAME)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="downloads")
        self._fetcher = Fetcher(
            self.guard, self._threads, max_file_bytes=self.max_file_bytes, stall_s=self.stall_s
        )
        self._landing = Publisher(self.keep, self.names, self._notes)
        await self._on_thread(self._make_ready)
        await self._fetcher.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._fetcher.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._notes.close()

    def _make_ready(self) -> None:
        """The place, and what earlier runs left unfinished, with the names that it has."""
        if self.prepares:
            self.keep.prepare()
            self.names.limit(self.keep.max_name_bytes)
        for note in self._notes.read():
            stems = {note.stem, note.name.rpartition(".")[0] or note.stem}
            if all(self.names.claim_exactly(stem) for stem in stems):
                self._open[note.key] = note
            else:  # the ledger knows the file by now
                self._part_path(note).unlink(missing_ok=True)
                self._notes.drop(note.key)

    # Saving.

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Fetch what is not there yet. Raises `LocalIOError` for what is wrong with the disk."""
        found: list[OutputFile] = []
        for index, url in enumerate(urls, start=1):
            had = known[index - 1] if index <= len(known) else None
            answer = await self._save_one((job, index), url, had)
            if not isinstance(answer, OutputFile):
                return answer
            found.append(answer)
        return FilesSaved(files=tuple(found))

    async def describe(self, file: OutputFile, content: bytes, marker: bytes) -> None:
        """Put a sidecar beside a file: `NAME.png.json`. Raises `LocalIOError`, `Unreachable`.

        What begins with `marker` is an earlier one, which it takes the place of; anything else
        that lies there stays.
        """
        try:
            await self._on_thread(self._landing.describe, file.path, content, marker)
        except OSError as error:
            raise self._refused(error) from error

    def settled(self, job: str) -> None:
        """The ledger knows the files of this job: what was noted of them may go."""
        for key in [key for key in self._saved if key[0] == job]:  # of few: the unsettled ones
            del self._saved[key]
            self._open.pop(key, None)
            self._threads.submit(self._notes.drop, key)

    async def _save_one(
        self, key: Key, url: str, had: OutputFile | None
    ) -> OutputFile | SaveAnswer:
        """With `had`: unless that file is whole still, and then to the very path that it had.

        Its digest may differ then, where the server has other bytes now.
        """
        try:
            if key not in self._saved:
                self._saved[key] = await (
                    self._bring(self._note_of(key), url, None)
                    if had is None
                    else self._bring_again(key, url, had)
                )
            return self._saved[key]
        except DownloadPostponed as stopped:
            if isinstance(stopped.answer, SaveLater) and stopped.answer.hopeless:
                await self._on_thread(self._discard, key)
            elif self._open[key].received_bytes == 0:
                await self._on_thread(self._notes.drop, key)
            return stopped.answer
        except Unreachable as error:
            return later(str(error))
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> LocalIOError:
        place, text = error.filename or self.keep.path_of(""), error.strerror or str(error)
        return LocalIOError(f"{place}: {text}; what was received is kept")

    def _note_of(self, key: Key) -> ResumeNote:
        if key not in self._open:
            stem = self.names.claim(self.name_of(*key))
            self._open[key] = ResumeNote(job=key[0], index=key[1], stem=stem)
        return self._open[key]

    async def _bring_again(self, key: Key, url: str, had: OutputFile) -> OutputFile:
        if await self._on_thread(self.keep.holds, had):
            return had
        stem = had.path.rpartition("/")[2].rpartition(".")[0]
        note = self._open.setdefault(key, ResumeNote(job=key[0], index=key[1], stem=stem))
        return await self._bring(note, url, had.path)

    async def _bring(self, note: ResumeNote, url: str, path: str | None) -> OutputFile:
        if note.url != plain(url):
            note.forget_bytes()  # another output: an ETag says nothing across URLs
        if note.name and path is None:
            file = OutputFile(path=self.keep.path_of(note.name), bytes=note.received_bytes,
                              sha256=note.sha256)  # fmt: skip
            if await self._on_thread(self.keep.holds, file):
                return file
        part = await self._on_thread(self._take_up, note)
        try:
            if part.size_bytes == 0 or part.size_bytes != note.total_bytes:
                await self._fetcher.fetch(note, part, url, lambda: self._mark(note, part))
            return await self._on_thread(self._landing.finish, note, part, path)
        finally:
            if not part.closed:
                await self._on_thread(part.close)

    # On threads.

    def _take_up(self, note: ResumeNote) -> PartFile:
        path = self._part_path(note)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = PartFile(path)
        if not part.take_up(note.received_bytes, note.sha256):
            note.forget_bytes()
        return part

    def _mark(self, note: ResumeNote, part: PartFile) -> None:
        note.received_bytes, note.sha256 = part.size_bytes, part.sha256
        if note.validator:
            self._notes.write(note)

    def _discard(self, key: Key) -> None:
        note = self._open.pop(key, None)
        if note is not None:
            self._part_path(note).unlink(missing_ok=True)
            self._notes.drop(key)

    def _part_path(self, note: ResumeNote) -> Path:
        return self.keep.part_path(note.stem, digest_of(note.key))

    async def _on_thread(self, work: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(self._threads, work, *args)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            with suppress(Exception):  # nobody waits for it any more, but it is not left running
                await doing
            raise
