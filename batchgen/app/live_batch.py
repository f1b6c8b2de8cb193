"""A batch as `serve` shows it: read again whenever the ledger, a verdict or the manifest changes.

It takes no lock and calls no API. A batch is read in a thread; which cards have changed is found by
comparing their bytes, so that an adoption or a compaction needs no case of its own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from batchgen.app.ledger_timeline import LedgerTimeline
from batchgen.app.live_view import sign_of
from batchgen.app.result_files import page_about
from batchgen.core.errors import BatchgenError
from batchgen.core.reviews import Verdict, VerdictWord
from batchgen.core.units import timestamp
from batchgen.ledger.reviews_file import append_reviews
from batchgen.reports.html_report import inert, page_parts
from batchgen.serving.page_server import VerdictRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.app.live_view import View
    from batchgen.ports import Clock

LOOK_S = 0.5
"""The pause between two looks at the files."""
PAUSE_PER_READ = 0.5
"""After reading, the pause is at least this many times as long as reading took."""
MAX_NOTE_CHARACTERS = 10_000


class LiveBatch:
    """The batch of `serve` (protocol `LivePage`)."""

    def __init__(self, read: Callable[[], View], manifest: Path, clock: Clock) -> None:
        """Read the batch for the first time. Raises what `read` raises."""
        self._read, self._manifest, self._clock = read, manifest, clock
        self._version = 1
        self._news = asyncio.Condition()
        self._reading = asyncio.Lock()
        self._signs: tuple[object, ...] = ()
        self._view = read()
        self._timeline = LedgerTimeline(self._view.directory)
        self._view.timeline = self._timeline.chart()
        self._changed_at = [self._version] * len(self._view.cards)

    def page(self) -> bytes:
        """Return the page as it was read last."""
        view = self._view
        page = page_about(
            view.directory, view.summary, news=view.news, timeline=view.timeline,
            live_version=self._version,
        )  # fmt: skip
        text = "".join(page_parts(page, view.cards))
        return text.encode("utf-8", "replace")

    async def news(self, since: int) -> tuple[int, bytes]:
        """Wait for news after that version; return the version and the cards that are new."""
        async with self._news:
            await self._news.wait_for(lambda: self._version > since)
            view, version = self._view, self._version
            places = [n for n, at in enumerate(self._changed_at) if at > since]
        cards = ",".join(f"[{n},{inert(view.cards[n])}]" for n in places)
        page = page_about(view.directory, view.summary, news=view.news, timeline=view.timeline)
        texts = {"lead": page.facts, "news": page.news, "figures": page.figures}
        total = len(view.cards)
        facts = {"texts": texts, "timeline": page.timeline, "total": total}
        head = inert(msgspec.json.encode(facts)[:-1])
        data = f'{head},"jobs":[{cards}]}}'
        return version, data.encode("utf-8", "replace")

    def file(self, name: str) -> Path | None:
        """Return the file that the page shows under this address."""
        return self._view.file(name)

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
            ts=timestamp(self._clock.now_s()),
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
                view = await asyncio.to_thread(self._read_whole)
            except BatchgenError:
                return  # somebody is saving the manifest just now
            self._signs = signs
            async with self._news:
                self._take(view)
                self._news.notify_all()

    def _read_whole(self) -> View:
        """Read the batch, and go on with its timeline; called by one thread at a time."""
        view = self._read()
        view.timeline = self._timeline.chart()
        return view

    def _take(self, view: View) -> None:
        before = self._view.cards
        self._view = view
        self._version += 1
        del self._changed_at[len(view.cards) :]
        for n, card in enumerate(view.cards):
            if n >= len(self._changed_at):
                self._changed_at.append(self._version)
            elif card != before[n]:
                self._changed_at[n] = self._version

    def _read_signs(self) -> tuple[object, ...]:
        directory = self._view.directory
        paths = (
            directory.ledger,
            directory.reviews,
            directory.run_file,
            directory.history,
            self._manifest,
        )
        return tuple(sign_of(path) for path in paths)
