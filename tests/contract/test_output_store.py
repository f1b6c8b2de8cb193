"""The port `OutputStore`: the fake of the tests answers as the store on disk does."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.core.events import JobError
from batchgen.ports import FilesSaved, LinkExpired, OutputStore, SaveAnswer, SaveLater
from tests.kit.fakes import MemoryStore
from tests.outputs.host import PNG, server, store

ERROR = JobError(kind="download", message="no")


@dataclass
class Subject:
    """A store and the host of its URLs."""

    store: OutputStore
    origin: str
    requests: Counter[str] = field(default_factory=Counter)

    def urls(self, *names: str) -> tuple[str, ...]:
        """URLs of good files; `expired` and `busy` are what they say."""
        return tuple(f"{self.origin}/{name}" for name in names)

    async def saved(self, job: str, *names: str) -> FilesSaved:
        answer = await self.store.save(job, self.urls(*names))
        assert isinstance(answer, FilesSaved)
        return answer


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield Subject(MemoryStore(save_s=0.0, on_save=answer_of), "https://files.runcomfy.net")
        return
    requests: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        requests[name] += 1
        if name == "expired":
            return web.Response(status=403)
        if name == "busy":
            return web.Response(status=503, headers={"Retry-After": "7"})
        return web.Response(body=PNG, content_type="image/png")

    async with server(answer) as origin, store(tmp_path) as real:
        yield Subject(real, origin, requests)


def answer_of(job: str, number: int) -> SaveAnswer | None:
    """Answer for the fake: its jobs are named like their URL."""
    if job == "expired":
        return LinkExpired(error=ERROR)
    return SaveLater(error=ERROR, retry_after_s=7.0) if job == "busy" else None


async def test_every_url_becomes_a_file_of_its_own(subject: Subject) -> None:
    """In their order, also for jobs that are called alike."""
    first, second = await subject.saved("a", "1.png", "2.png"), await subject.saved("A", "3.png")

    paths = [file.path.lower() for file in chain(first.files, second.files)]
    assert len(paths) == len(set(paths)) == 3
    assert all(file.bytes > 0 and len(file.sha256) == 64 for file in first.files)


async def test_paths_are_relative_and_stay_inside(subject: Subject) -> None:
    """As they are recorded in the ledger."""
    for file in (await subject.saved("a", "1.png")).files:
        assert not Path(file.path).is_absolute()
        assert ".." not in Path(file.path).parts


async def test_a_file_that_is_known_and_whole_is_left_alone(subject: Subject) -> None:
    """The others are fetched to the same paths."""
    before = await subject.saved("a", "1.png", "2.png")
    asked = subject.requests.copy()

    after = await subject.store.save("a", subject.urls("1.png", "2.png"), before.files)

    assert after == before
    assert subject.requests == asked


async def test_a_link_that_has_expired_is_told_from_a_host_that_is_busy(subject: Subject) -> None:
    """The one needs fresh URLs, the other time: as much as it asks for."""
    expired = await subject.store.save("expired", subject.urls("expired"))
    busy = await subject.store.save("busy", subject.urls("busy"))

    assert isinstance(expired, LinkExpired)
    assert isinstance(busy, SaveLater)
    assert (busy.retry_after_s, busy.received_bytes, busy.hopeless) == (7.0, 0, False)


async def test_a_job_can_be_settled_more_than_once(subject: Subject) -> None:
    """And also one of which nothing was saved."""
    saved = await subject.saved("a", "1.png")

    for job in ("a", "a", "unknown"):
        subject.store.settled(job)

    assert await subject.store.save("a", subject.urls("1.png"), saved.files) == saved
