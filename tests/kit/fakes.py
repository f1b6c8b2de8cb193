"""A remote side, a ledger and an output store in memory, for tests that leap in time."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from batchgen.core.api_answers import (
    CancelOutcome,
    Ended,
    Gone,
    PollAnswer,
    Produced,
    Queued,
    Running,
    SubmitAnswer,
    Submitted,
)
from batchgen.core.events import ErrorKind, Event, JobError, OutputFile
from batchgen.core.jobs import Job, JSONValue, Where
from batchgen.core.lifecycle import JobRecord, JobState, apply
from batchgen.core.units import timestamp
from batchgen.ports import FilesSaved, SaveAnswer
from tests.kit import MODEL
from tests.kit.time import LoopClock


def job(name: str, prompt: str = "a boat", model: str = MODEL) -> Job:
    """A job as a manifest would give it."""
    return Job(id=name, model=model, input={"prompt": prompt}, where=Where(file="t.csv", row=2))


@dataclass
class Jobs:
    """A batch in memory."""

    all: list[Job]

    def jobs(self) -> Iterable[Job]:
        return iter(self.all)


@dataclass
class MemoryLedger:
    """A `Ledger` whose disk is a list; `fsync_s` is what a durable append takes."""

    fsync_s: float = 0.0
    known: dict[str, JobRecord] = field(default_factory=dict)
    events: list[tuple[str, Event]] = field(default_factory=list)
    made: dict[tuple[str, str], JobRecord] = field(default_factory=dict)
    fail_on: Callable[[str, Event], Exception | None] = lambda job, event: None

    def get(self, job: str) -> JobRecord | None:
        return self.known.get(job)

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        return [r for r in self.known.values() if not states or r.state in states]

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        return self.made.get((job, fingerprint))

    async def restore(self, made: JobRecord) -> JobRecord:
        self.known[made.job] = made
        return made

    async def record(self, job: str, event: Event) -> JobRecord:
        if error := self.fail_on(job, event):
            raise error
        now = timestamp(LoopClock().now_s())
        record = apply(self.known.get(job), event, job=job, ts=now)
        self.known[job] = record
        self.events.append((job, event))
        await asyncio.sleep(self.fsync_s)
        return record

    def states(self) -> dict[str, str]:
        return {name: record.state.value for name, record in self.known.items()}


@dataclass
class MemoryAPI:
    """A `GenerationAPI` that remembers what it was asked and answers as it is told."""

    duration_s: float = 10.0
    on_submit: Callable[[Mapping[str, JSONValue], int], SubmitAnswer | None] = lambda v, n: None
    on_poll: Callable[[str, int], PollAnswer | None] = lambda rid, n: None
    on_result: Callable[[str], PollAnswer | None] = lambda rid: None
    on_probe: Callable[[int], bool | None] = lambda n: True
    answer_s: float = 0.01
    probes: int = 0
    created: list[tuple[str, Mapping[str, JSONValue]]] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)
    polls: Counter[str] = field(default_factory=Counter)
    high_water: int = 0
    _end_s: dict[str, float] = field(default_factory=dict)
    _ends: list[float] = field(default_factory=list)

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        prompt = str(values.get("prompt"))
        self.posts[prompt] += 1
        await asyncio.sleep(self.answer_s)
        answer = self.on_submit(values, self.posts[prompt])
        if answer is not None and not isinstance(answer, Submitted):
            return answer
        request_id = answer.request_id if answer else f"r{len(self.created) + 1}"
        self.created.append((request_id, values))
        now_s = asyncio.get_running_loop().time()
        self._end_s[request_id] = now_s + self.duration_s
        heapq.heappush(self._ends, now_s + self.duration_s)
        while self._ends[0] <= now_s:
            heapq.heappop(self._ends)
        self.high_water = max(self.high_water, len(self._ends))
        return Submitted(request_id=request_id)

    async def status(self, request_id: str) -> PollAnswer:
        self.polls[request_id] += 1
        await asyncio.sleep(self.answer_s)
        told = self.on_poll(request_id, self.polls[request_id])
        if told is not None:
            return told
        if request_id not in self._end_s:
            return Gone(error=JobError(kind=ErrorKind.EXPIRED, message="unknown request"))
        left_s = self._end_s[request_id] - asyncio.get_running_loop().time()
        if left_s <= 0:
            return Ended()
        return Running() if left_s < self.duration_s / 2 else Queued(position=1)

    async def result(self, request_id: str) -> PollAnswer:
        await asyncio.sleep(self.answer_s)
        left_s = self._end_s.get(request_id, 0.0) - asyncio.get_running_loop().time()
        if left_s > 0:
            return Running() if left_s < self.duration_s / 2 else Queued()
        told = self.on_result(request_id)
        url = f"https://files.runcomfy.net/{request_id}.png"
        return told or Produced(outputs=(url,), cost_usd=0.03)

    async def cancel(self, request_id: str) -> CancelOutcome:
        return CancelOutcome.NOT_CANCELLABLE

    async def has_model(self, model: str) -> bool | None:
        self.probes += 1
        await asyncio.sleep(self.answer_s)
        return self.on_probe(self.probes)

    def resume(self, request_id: str, *, ends_in_s: float = 0.0) -> None:
        """Know a request of an earlier run."""
        self._end_s[request_id] = asyncio.get_running_loop().time() + ends_in_s


@dataclass
class MemoryStore:
    """An `OutputStore` that keeps names only."""

    save_s: float = 0.05
    on_save: Callable[[str, int], SaveAnswer | None] = lambda job, n: None
    tries: Counter[str] = field(default_factory=Counter)
    settlements: list[str] = field(default_factory=list)

    def settled(self, job: str) -> None:
        self.settlements.append(job)

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        self.tries[job] += 1
        await asyncio.sleep(self.save_s)
        told = self.on_save(job, self.tries[job])
        if told is not None:
            return told
        return FilesSaved(
            files=tuple(
                OutputFile(path=f"outputs/{job}-{n}.png", bytes=1, sha256="0" * 64)
                for n, _ in enumerate(urls, start=1)
            )
        )


@dataclass
class Notes:
    """An `Observer` that keeps what it is told."""

    notes: list[str] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        self.events.append((job, event))

    def on_note(self, text: str) -> None:
        self.notes.append(text)
