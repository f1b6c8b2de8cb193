"""The ports: what the runner needs from the outside world, as Protocols.

Each port has a real implementation in a room of its own and a small fake in `tests/kit`. Both pass
the same tests, in `tests/contract`. What crosses a port is a plain value of `core`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from batchgen.core.api_answers import CancelOutcome, PollAnswer, SubmitAnswer
from batchgen.core.events import Event, JobError, OutputFile
from batchgen.core.jobs import Asset
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord, Records


class Clock(Protocol):
    """The time, and waiting for it. Only `batchgen.system.clock` reads the real time."""

    def now_s(self) -> float:
        """Return the seconds since 1970, for what is written down."""
        ...

    def monotonic_s(self) -> float:
        """Return the seconds since some moment, for intervals; they never go back."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the event, at most `timeout_s` (None: without end)."""
        ...


class GenerationAPI(Protocol):
    """The Model API. Never raises for what the network or the server does."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """POST one job, once: never repeat by itself. Called once for each intent."""
        ...

    async def status(self, request_id: str) -> PollAnswer:
        """Ask for the state of a job."""
        ...

    async def result(self, request_id: str) -> PollAnswer:
        """Ask how a job ended, with its outputs and cost."""
        ...

    async def cancel(self, request_id: str) -> CancelOutcome:
        """Ask for a queued job to be cancelled; `result` tells whether it was."""
        ...

    async def has_model(self, model: str) -> bool | None:
        """Ask the catalogue, which costs nothing, whether it has this model.

        None if the API cannot be reached: no answer, 408, 429 or a 5xx.
        """
        ...

    async def accepts_token(self, model: str) -> bool | None:
        """Ask for this model in the catalogue, and tell whether the token was accepted.

        None if the API cannot be reached.
        """
        ...


class Ledger(Records, Protocol):
    """The record of every job, and the way to add to it durably."""

    def knows_request(self, request_id: str) -> bool:
        """Tell whether any record, of any attempt of any job, has this request_id."""
        ...

    async def record(self, job: str, event: Event) -> JobRecord:
        """Fold the event into the job's record. When this returns, it is on disk.

        Raise `LocalIOError` if it could not be written, and from then on for every `Intended`.
        """
        ...

    async def restore(self, made: JobRecord) -> JobRecord:
        """Make an earlier record of a job its present one again. Durable, like `record`.

        What was spent on the job in all stays the same.
        """
        ...

    async def adopt(self, old: str, new: str) -> JobRecord | None:
        """Let the job `new` continue the record of the job `old`. Durable, like `record`.

        Return the record of `new` then; None if there is none of `old`.
        """
        ...


class AddressCheck(Protocol):
    """A look at addresses before they are sent to the API. Costs nothing."""

    async def is_gone(self, url: str) -> bool:
        """Tell whether an address has expired: it answers 403, 404 or 410."""
        ...


class AssetChanged(Exception):
    """A local file is not what it was when the manifest was checked."""


class AssetStore(Protocol):
    """The place from which the API fetches local files."""

    async def address_of(self, asset: Asset) -> str:
        """Return an address of a file that is valid for long enough, and upload it before.

        Raise `AssetChanged`, and `LocalIOError` if the store refuses or cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSaved:
    """Every output is on disk."""

    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkExpired:
    """A URL answered 403, 404 or 410; the result may have fresh ones."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveLater:
    """Not saved this time. The job stays `completed`, and what was received is kept."""

    error: JobError
    received_bytes: int = 0
    """New bytes in this try; only tries without any count against the limit of tries."""
    retry_after_s: float | None = None
    hopeless: bool = False
    """Another try in this run cannot succeed (a forbidden host, a file over the limit)."""


SaveAnswer = FilesSaved | LinkExpired | SaveLater


class OutputStore(Protocol):
    """The place where outputs are stored."""

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Fetch every URL and put it under its final name, whole. Raise `LocalIOError`.

        `known` are the files that this job once had, in the order of the URLs: those that are
        still whole are left alone, the others are fetched to the same paths.
        """
        ...

    def settled(self, job: str) -> None:
        """Delete what proves the files of this job: the ledger has them now."""
        ...


class Observer(Protocol):
    """A receiver of what happens; must be quick and must not raise."""

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Receive an event, after it became durable."""
        ...

    def on_note(self, text: str) -> None:
        """Receive one sentence for the user."""
        ...
