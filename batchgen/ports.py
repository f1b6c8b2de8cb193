"""What the runner needs from the world, as Protocols. Types only: nothing here does anything.

Each port has a real implementation in a room of its own and a small fake in the tests; both pass
the same tests. What crosses a port is a plain value of `core`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from batchgen.core.api_answers import CancelOutcome, PollAnswer, SubmitAnswer
from batchgen.core.events import Event, JobError, OutputFile
from batchgen.core.jobs import JSONValue
from batchgen.core.lifecycle import JobRecord
from batchgen.core.plan import Records


class Clock(Protocol):
    """The time, and waiting for it. Only `batchgen.system.clock` reads the real one."""

    def now_s(self) -> float:
        """Seconds since 1970, for what is written down."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back. For intervals."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the event, at most for `timeout_s` (None: without end)."""
        ...


class GenerationAPI(Protocol):
    """The remote side. Never raises for what the network or the server does."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """POST one job. Called once for each intent; never repeats by itself."""
        ...

    async def status(self, request_id: str) -> PollAnswer:
        """Where a job is."""
        ...

    async def result(self, request_id: str) -> PollAnswer:
        """How a job ended, with its outputs and cost."""
        ...

    async def cancel(self, request_id: str) -> CancelOutcome:
        """Ask for a queued job to be cancelled; confirm with `result`."""
        ...

    async def has_model(self, model: str) -> bool | None:
        """Ask the catalogue, which costs nothing: False where it does not know the model.

        None where the API is not there: no answer, 408, 429 or a 5xx.
        """
        ...


class Ledger(Records, Protocol):
    """What is known of every job, and the way to add to it durably."""

    async def record(self, job: str, event: Event) -> JobRecord:
        """Fold the event into the job's record. When this returns, it is on disk.

        Raises `LocalIOError` where it could not be written, now and ever after.
        """
        ...

    async def restore(self, made: JobRecord) -> JobRecord:
        """Make an earlier record of a job its present one again. Durable, like `record`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSaved:
    """Every output is on disk."""

    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkExpired:
    """A URL answered 403, 404 or 410: the result has to be asked for fresh ones."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveLater:
    """Not this time. The job stays `completed`, and what was received is kept."""

    error: JobError
    received_bytes: int = 0
    """New bytes in this try; a try with none counts against the limit of tries."""
    retry_after_s: float | None = None
    hopeless: bool = False
    """Another try in this run cannot succeed (a forbidden host, a file over the limit)."""


SaveAnswer = FilesSaved | LinkExpired | SaveLater


class OutputStore(Protocol):
    """Where outputs end up."""

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Fetch every URL and put it under its final name, whole. Raises `LocalIOError`.

        `known` are the files that this job once had, in the order of the URLs: those that are
        whole still are left alone, the others fetched to the very same paths.
        """
        ...

    def settled(self, job: str) -> None:
        """The ledger knows the files of this job; what was kept to prove them may go."""
        ...


class Observer(Protocol):
    """Someone who is told what happens; must be quick and must not raise."""

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """After the event became durable."""
        ...

    def on_note(self, text: str) -> None:
        """Something a person should know, one sentence."""
        ...
