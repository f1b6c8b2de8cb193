"""Fakes of the ports, for tests in virtual time: an API, a ledger, an output store, an observer.

They pass the same tests as the real implementations: `tests/contract`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from msgspec.structs import replace

from batchgen.core.api_answers import (
    CancelOutcome,
    Ended,
    Gone,
    PollAnswer,
    Produced,
    Queued,
    RowRefused,
    Running,
    SubmitAnswer,
    Submitted,
    TryAgain,
    WasCancelled,
)
from batchgen.core.errors import LocalIOError
from batchgen.core.events import ErrorKind, Event, Intended, JobError, OutputFile
from batchgen.core.jobs import Job, Where
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord, JobState, Take, adopted, apply, restored
from batchgen.core.reviews import Verdict
from batchgen.core.units import timestamp
from batchgen.ports import FilesSaved, SaveAnswer
from tests.kit import MODEL, OTHER_MODEL
from tests.kit.time import LoopClock


def job(name: str, prompt: str = "a boat", model: str = MODEL) -> Job:
    """Make a job as a manifest would give it."""
    return Job(id=name, model=model, input={"prompt": prompt}, where=Where(file="t.csv", row=2))


@dataclass
class Jobs:
    """A batch in memory."""

    all: list[Job]

    def jobs(self) -> Iterable[Job]:
        return iter(self.all)

    def ids(self) -> Iterable[str]:
        return (one.id for one in self.jobs())

    def following(self, _: Job) -> Iterable[Job]:
        return ()

    def may_submit(self, _: Job) -> bool:
        return True

    def left_out(self) -> Iterable[str]:
        return ()


@dataclass
class MemoryLedger:
    """A `Ledger` in memory; `fsync_s` is the time that a durable append takes."""

    fsync_s: float = 0.0
    known: dict[str, JobRecord] = field(default_factory=dict)
    events: list[tuple[str, Event]] = field(default_factory=list)
    made: dict[tuple[str, str], JobRecord] = field(default_factory=dict)
    fail_on: Callable[[str, Event], Exception | None] = lambda job, event: None
    disk_is_full: bool = False
    request_ids: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def get(self, job: str) -> JobRecord | None:
        return self.known.get(job)

    def is_downloaded(self, job: str, fingerprint: str) -> bool:
        record = self.known.get(job)
        is_same = record is not None and record.fingerprint == fingerprint
        return is_same and record is not None and record.state is JobState.DOWNLOADED

    def jobs(self) -> Iterable[str]:
        return self.known.keys()

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        return [r for r in self.known.values() if not states or r.state in states]

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        now = self.known.get(job)
        is_present = now is not None and now.fingerprint == fingerprint
        return None if is_present else self.made.get((job, fingerprint))

    def verdict(self, record: JobRecord) -> Verdict | None:
        found = self.verdicts.get(record.job)
        return found if found is not None and found.is_about(record) else None

    def verdict_on(self, job: str, take: Take) -> Verdict | None:
        return None

    def has_verdict(self, job: str) -> bool:
        return job in self.verdicts

    def made_before_keys(self) -> Iterable[tuple[str, str]]:
        return self.made

    def knows_request(self, request_id: str) -> bool:
        known = [*self.known.values(), *self.made.values()]
        return request_id in self.request_ids or any(r.request_id == request_id for r in known)

    async def restore(self, made: JobRecord) -> JobRecord:
        record = restored(self.known.get(made.job) or made, made, ts=self._now())
        return await self._put(record)

    async def adopt(self, old: str, new: str) -> JobRecord | None:
        if (record := self.known.get(old)) is None:
            return None
        renamed, _ = adopted(record, job=new, ts=self._now(), replaced=self.known.get(new))
        del self.known[old]
        made = {
            fingerprint: self.made.pop((old, fingerprint)) for fingerprint in self._made_of(old)
        }
        await self._put(renamed)
        self.made |= {(new, key): replace(one, job=new) for key, one in made.items()}
        return renamed

    def _made_of(self, job: str) -> list[str]:
        return [fingerprint for owner, fingerprint in self.made if owner == job]

    async def record(self, job: str, event: Event) -> JobRecord:
        if error := self.fail_on(job, event):
            raise error
        if self.disk_is_full and isinstance(event, Intended):
            raise LocalIOError("the disk is full")
        record = apply(self.known.get(job), event, job=job, ts=self._now())
        self.events.append((job, event))
        return await self._put(record)

    async def _put(self, record: JobRecord) -> JobRecord:
        before = self.known.get(record.job)
        if before and before.has_output and before.fingerprint != record.fingerprint:
            self.made[before.job, before.fingerprint] = before
        self.known[record.job] = record
        self.request_ids.update(filter(None, [record.request_id]))
        await asyncio.sleep(self.fsync_s)
        return record

    @staticmethod
    def _now() -> str:
        return timestamp(LoopClock().now_s())

    def states(self) -> dict[str, str]:
        return {name: record.state.value for name, record in self.known.items()}


@dataclass
class MemoryAPI:
    """A `GenerationAPI` in memory that answers as it is told, or else like an API without faults.

    A job waits for the first half of its time and runs for the second.
    """

    duration_s: float = 10.0
    on_submit: Callable[[Mapping[str, JSONValue], int], SubmitAnswer | None] = lambda v, n: None
    on_poll: Callable[[str, int], PollAnswer | None] = lambda rid, n: None
    on_result: Callable[[str], PollAnswer | None] = lambda rid: None
    on_probe: Callable[[int], bool | None] | None = None
    on_token: Callable[[], bool | None] = lambda: True
    answer_s: float = 0.01
    models: frozenset[str] = frozenset({MODEL, OTHER_MODEL})
    is_reachable: bool = True
    probes: int = 0
    created: list[tuple[str, Mapping[str, JSONValue]]] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)
    polls: Counter[str] = field(default_factory=Counter)
    high_water: int = 0
    """Most jobs in flight at once."""
    posting: int = 0
    most_posting: int = 0
    _end_s: dict[str, float] = field(default_factory=dict)
    _ends: list[float] = field(default_factory=list)
    _cancelled: set[str] = field(default_factory=set)

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        prompt = str(values.get("prompt"))
        self.posts[prompt] += 1
        self.posting += 1
        self.most_posting = max(self.most_posting, self.posting)
        await asyncio.sleep(self.answer_s)
        self.posting -= 1
        if not self.is_reachable:
            return _UNREACHABLE
        answer = self.on_submit(values, self.posts[prompt])
        if answer is None and model not in self.models:
            error = JobError(kind=ErrorKind.REFUSED, message="no such model", http_status=404)
            return RowRefused(error=error)
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
        answer = self.on_poll(request_id, self.polls[request_id])
        return answer or self._unfinished(request_id) or Ended()

    async def result(self, request_id: str) -> PollAnswer:
        await asyncio.sleep(self.answer_s)
        if unfinished := self._unfinished(request_id):
            return unfinished
        if request_id in self._cancelled:
            return WasCancelled()
        url = f"https://files.runcomfy.net/{request_id}.png"
        return self.on_result(request_id) or Produced(outputs=(url,), cost_usd=0.03)

    async def cancel(self, request_id: str) -> CancelOutcome:
        await asyncio.sleep(self.answer_s)
        match self._unfinished(request_id):
            case Queued():
                self._cancelled.add(request_id)
                self._end_s[request_id] = -inf
                return CancelOutcome.CANCELLED
            case Running() | None:
                return CancelOutcome.NOT_CANCELLABLE
            case _:
                return CancelOutcome.UNKNOWN

    async def has_model(self, model: str) -> bool | None:
        self.probes += 1
        await asyncio.sleep(self.answer_s)
        if not self.is_reachable:
            return None
        return self.on_probe(self.probes) if self.on_probe else model in self.models

    async def accepts_token(self, model: str) -> bool | None:
        self.probes += 1
        await asyncio.sleep(self.answer_s)
        return self.on_token() if self.is_reachable else None

    def resume(self, request_id: str, *, ends_in_s: float = 0.0) -> None:
        """Know a request of an earlier run."""
        self._end_s[request_id] = asyncio.get_running_loop().time() + ends_in_s

    def _unfinished(self, request_id: str) -> PollAnswer | None:
        """Return the state of a request that has no result; None if it has one."""
        if not self.is_reachable:
            return _UNREACHABLE
        if request_id not in self._end_s:
            return Gone(error=JobError(kind=ErrorKind.EXPIRED, message="unknown request"))
        left_s = self._end_s[request_id] - asyncio.get_running_loop().time()
        if left_s <= 0:
            return None
        return Running() if left_s < self.duration_s / 2 else Queued(position=1)


_UNREACHABLE = TryAgain(
    error=JobError(kind=ErrorKind.NOT_ACCEPTED, message="no connection"), answered=False
)


@dataclass
class MemoryStore:
    """An `OutputStore` that stores names only."""

    save_s: float = 0.05
    on_save: Callable[[str, int], SaveAnswer | None] = lambda job, n: None
    tries: Counter[str] = field(default_factory=Counter)
    settlements: list[str] = field(default_factory=list)
    _owners: dict[str, str] = field(default_factory=dict)

    def settled(self, job: str) -> None:
        self.settlements.append(job)

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        self.tries[job] += 1
        await asyncio.sleep(self.save_s)
        answer = self.on_save(job, self.tries[job])
        if answer is not None:
            return answer
        made = [
            OutputFile(path=self._path(job, f"{job}-{n}"), bytes=1, sha256="0" * 64)
            for n in range(1, len(urls) + 1)
        ]
        return FilesSaved(files=(*known, *made[len(known) :]))

    def _path(self, job: str, stem: str) -> str:
        while self._owners.setdefault(stem.lower(), job) != job:
            stem += "~"
        return f"outputs/{stem}.png"


@dataclass
class Notes:
    """An `Observer` that remembers what it is told."""

    notes: list[str] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        self.events.append((job, event))

    def on_note(self, text: str) -> None:
        self.notes.append(text)
