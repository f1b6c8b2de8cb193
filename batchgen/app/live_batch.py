"""A batch as `serve` shows it: read again whenever the ledger, a verdict or the manifest changes.

It takes no lock and calls no API. A batch is read in a thread; which cards have changed is found by
comparing their bytes, so that an adoption or a compaction needs no case of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import BatchSnapshot, read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.result_files import encoded_card, facts_of, page_about
from batchgen.core.errors import BatchgenError
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord
from batchgen.core.reviews import Verdict, VerdictWord
from batchgen.core.summary import Summary
from batchgen.core.units import timestamp
from batchgen.ledger.reviews_file import append_reviews
from batchgen.reports.html_report import MAX_CARDS, href_of, inert, page_parts
from batchgen.reports.results_csv import ResultRow
from batchgen.reports.results_xlsx import PICTURE_PX
from batchgen.reports.thumbnails import Thumbnails
from batchgen.serving.page_server import VerdictRefused
from batchgen.system.run_directory import RunDirectory

LOOK_S = 0.5
"""The pause between two looks at the files."""
PAUSE_PER_READ = 2
"""After reading, the pause is at least this many times as long as reading took."""
MAX_NOTE_CHARACTERS = 10_000


@dataclass(slots=True)
class View:
    """What was read last."""

    directory: RunDirectory
    summary: Summary = field(default_factory=Summary)
    cards: list[bytes] = field(default_factory=list)
    records: dict[str, JobRecord | None] = field(default_factory=dict)
    """Every job that a verdict may be about."""
    files: dict[str, Path] = field(default_factory=dict)
    """Address in the page: the file."""
    roots: tuple[Path, ...] = ()
    """The directories in which files of the results can be."""

    def may_show(self, path: Path) -> bool:
        """Tell whether a path of the ledger is in a directory of outputs, and no link is in it."""
        if self.directory.keeps(path):
            return False
        return any(_is_directly_in(root, path) for root in self.roots)


def _is_directly_in(root: Path, path: Path) -> bool:
    if not path.is_relative_to(root) or path == root:
        return False
    return Path(os.path.realpath(path)) == Path(os.path.realpath(root)) / path.relative_to(root)


class LiveBatch:
    """The batch of `serve` (protocol `LivePage`)."""

    def __init__(self, ref: BatchRef, context: CommandContext) -> None:
        """Read the batch. Raises what reading it raises."""
        self._ref, self._context = ref, context
        self._version = 1
        self._changed_at: list[int] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.Lock()
        self._signs: tuple[object, ...] = ()
        self._view = self._read()
        self._changed_at = [self._version] * len(self._view.cards)

    def page(self) -> bytes:
        """Return the page as it was read last."""
        view = self._view
        page = page_about(view.directory, view.summary, live_version=self._version)
        text = "".join(page_parts(page, view.cards))
        return text.encode("utf-8", "replace")

    async def news(self, since: int) -> tuple[int, bytes]:
        """Wait for news after that version; return the version and the cards that are new."""
        async with self._news:
            await self._news.wait_for(lambda: self._version > since)
            view, version = self._view, self._version
            places = [n for n, at in enumerate(self._changed_at) if at > since]
        cards = ",".join(f"[{n},{inert(view.cards[n])}]" for n in places)
        facts = inert(msgspec.json.encode(facts_of(view.summary)))
        total = len(view.cards)
        data = f'{{"facts":{facts},"total":{total},"jobs":[{cards}]}}'
        return version, data.encode("utf-8", "replace")

    def file(self, name: str) -> Path | None:
        """Return the file that the page shows under this address."""
        view = self._view
        path = view.files.get(name)
        if path is None:
            return None
        is_thumbnail = path.parent == view.directory.thumbnails
        is_shown = (
            _is_directly_in(view.directory.path, path) if is_thumbnail else view.may_show(path)
        )
        return path if is_shown and path.is_file() else None

    async def store(self, verdict: dict[str, Any]) -> None:
        """Store a verdict on the present take of a job. Raises `VerdictRefused`."""
        wanted = self._checked(verdict)
        try:
            await asyncio.to_thread(append_reviews, self._view.directory.path, [wanted])
        except BatchgenError as error:
            raise VerdictRefused(str(error)) from error
        await self.refresh()

    def _checked(self, given: dict[str, Any]) -> Verdict:
        job, note = given.get("job"), given.get("note", "")
        if not isinstance(job, str) or job not in self._view.records:
            raise VerdictRefused("no such job in this batch")
        if not isinstance(note, str) or len(note) > MAX_NOTE_CHARACTERS:
            raise VerdictRefused(f"a note is a text of at most {MAX_NOTE_CHARACTERS:,} characters")
        word = given.get("verdict")
        if not isinstance(word, str) or word not in set(VerdictWord):
            raise VerdictRefused(f"a verdict is one of {', '.join(VerdictWord)}")
        if not self._view.directory.has_ledger:
            raise VerdictRefused("nothing was run yet")
        record = self._view.records[job]
        take, submitted_at = (1, "") if record is None else (record.take, record.submitted_at or "")
        if (
            given.get("take", take) != take
            or given.get("submitted_at", submitted_at) != submitted_at
        ):
            raise VerdictRefused("there is a later take of this job; look at it first")
        return Verdict(
            ts=timestamp(self._context.clock.now_s()),
            job=job, take=take, verdict=VerdictWord(word), note=note, submitted_at=submitted_at,
        )  # fmt: skip

    async def watch(self) -> None:
        """Read the batch again whenever one of its files has changed; until it is cancelled."""
        now_s = asyncio.get_running_loop().time
        while True:
            begun_s = now_s()
            if self._signs != self._read_signs():
                await self.refresh()
            await asyncio.sleep(max(LOOK_S, PAUSE_PER_READ * (now_s() - begun_s)))

    async def refresh(self) -> None:
        """Read the batch, and tell the pages what has changed."""
        async with self._reading:
            # Before the files are read: what is written meanwhile is read again.
            signs = self._read_signs()
            try:
                view = await asyncio.to_thread(self._read)
            except BatchgenError:
                return  # somebody is saving the manifest just now
            self._signs = signs
            async with self._news:
                self._take(view)
                self._news.notify_all()

    def _take(self, view: View) -> None:
        before = self._view.cards
        self._view = view
        self._version += 1
        del self._changed_at[len(view.cards) :]
        for n, card in enumerate(view.cards):
            if n >= len(self._changed_at):
                self._changed_at.append(self._version)
            elif n >= len(before) or card != before[n]:
                self._changed_at[n] = self._version

    def _read_signs(self) -> tuple[object, ...]:
        directory = self._view.directory
        paths = (directory.ledger, directory.reviews, directory.run_file, self._ref.manifest)
        return tuple(_sign(Path(path)) for path in paths)

    def _read(self) -> View:
        with read_snapshot(self._ref, self._context) as snapshot:
            roots = (snapshot.directory.path, *_output_dir(snapshot))
            view = View(snapshot.directory, roots=roots)
            reader = _Reader(view)
            for row in snapshot.rows():
                reader.take(row)
        return view


def _sign(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Reader:
    """One pass over the rows of a batch."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._pictures = Thumbnails(directory=view.directory, size_px=PICTURE_PX)

    def take(self, row: ResultRow) -> None:
        """Count a row, and keep its card and its files."""
        view = self._view
        view.summary.count_row(row.record, is_invalid=bool(row.problems))
        if row.job and not row.problems:
            view.records[row.job] = row.record
        if len(view.cards) < MAX_CARDS:
            view.cards.append(encoded_card(row, self._thumbnail, href=self._href))

    def _href(self, file: OutputFile) -> str:
        path = Path(os.path.normpath(self._view.directory.path / file.path))
        if "://" in file.path or not self._view.may_show(path):
            return ""
        is_below = path.is_relative_to(self._view.directory.path) and ".." not in file.path
        name = hashlib.sha256(file.path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        address = href_of(file) if is_below else f"file/{name}{quote(path.suffix)}"
        self._view.files[unquote(address)] = path
        return address

    def _thumbnail(self, file: OutputFile) -> str | None:
        if not self._href(file) or (address := self._pictures.address(file)) is None:
            return None
        self._view.files[address] = self._view.directory.path / address
        return address


def _output_dir(snapshot: BatchSnapshot) -> Iterator[Path]:
    place = None if snapshot.loaded is None else snapshot.loaded.manifest.settings.output.dir
    if place and "://" not in place:
        yield Path(os.path.normpath(snapshot.directory.path / place))
