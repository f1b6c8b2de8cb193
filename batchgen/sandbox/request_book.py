"""The accepted requests of the sandbox, and the journal that keeps them over restarts.

The journal has one JSON object per line and is append-only. Its lines are told apart by `line`:
`accepted` (a request), `cancelled` (a request that left the queue), `ended` (how a job ended, if
only a fault rule decided that). Everything else follows from the seed. It has fingerprints instead
of tokens. Each line is one unbuffered write: when `append` returns, the operating system has it,
even if the process is killed. It is not fsynced: a power cut may cost a sandbox its last requests.

The journal is written before the book changes, so that whatever was answered is in it. There is no
HTTP here and no clock: `now` is seconds since 1970 and comes from the caller.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import first_fingerprint
from batchgen.core.json_reader import JSONValue
from batchgen.sandbox.faults.kinds import Fault, chance
from batchgen.sandbox.http_answer import Answer
from batchgen.sandbox.model_catalogue import Model, SandboxCatalogue
from batchgen.sandbox.remote_queue import RemoteQueue, Ticket
from batchgen.sandbox.served_file import File, output_file

if TYPE_CHECKING:
    from batchgen.sandbox.config import SandboxConfig


class AcceptedLine(msgspec.Struct, frozen=True, kw_only=True, tag="accepted", tag_field="line"):
    """A request was accepted."""

    request_id: str
    at: float
    """Seconds since 1970."""
    model: str
    input: dict[str, Any]
    token: str
    """Fingerprint."""
    outputs: int
    price_microusd: int
    fate: Fault | None = None


class CancelledLine(msgspec.Struct, frozen=True, kw_only=True, tag="cancelled", tag_field="line"):
    """A waiting request was cancelled."""

    request_id: str
    at: float


class EndedLine(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="line"):
    """The end of a job as its result gives it; fate None: a good end."""

    request_id: str
    fate: Fault | None = None


Line = AcceptedLine | CancelledLine | EndedLine

_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


class Journal:
    """An open journal. Raises `LocalIOError` if it cannot be opened or written, or is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as problem:
            raise LocalIOError(f"{path}: the journal cannot be opened: {problem}") from None

    def load(self) -> list[Line]:
        """Return every whole line, oldest first. Cut a torn last line first."""
        data = self._path.read_bytes()
        good = data[: data.rfind(b"\n") + 1]
        if len(good) < len(data):
            os.ftruncate(self._file, len(good))
        lines: list[Line] = []
        for number, text in enumerate(good.splitlines(), 1):
            try:
                lines.append(_decoder.decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
                message = (
                    f"{self._path}:{number}: not a line of a sandbox journal ({problem}); "
                    "name another file, or remove this one to start again"
                )
                raise LocalIOError(message) from None
        return lines

    def append(self, line: Line) -> None:
        """Write one line. Raise `LocalIOError`, with nothing of the line left behind."""
        data = _encoder.encode(line) + b"\n"
        try:
            written = os.write(self._file, data)
            if written == len(data):
                return
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            problem = "no space left"
        except OSError as error:
            problem = str(error)
        raise LocalIOError(f"{self._path}: the journal cannot be written: {problem}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """One accepted job; it is paid for."""

    accepted: AcceptedLine
    model: Model
    digest: str
    """Of model and input; equal bodies share it."""
    attempt: int
    """Counts the accepted jobs of equal bodies, from 1."""
    ticket: Ticket
    fate: Fault | None = None
    """The fault with which it ends, if any."""
    settled: bool = False
    """True if its result has been sent, so that it can no longer change."""
    dead_link: Answer | None = None
    """The answer of the first addresses of its outputs, once these have expired."""

    @property
    def request_id(self) -> str:
        """The id that the client knows it by."""
        return self.accepted.request_id

    @property
    def key(self) -> str:
        """A name that is the same in every run, unlike the random request_id."""
        return f"{self.digest}#{self.attempt}"

    @property
    def prompt(self) -> str:
        """The text that it was made from."""
        return self.model.check.prompt(self.accepted.input)

    @property
    def file_names(self) -> list[str]:
        """The names of its outputs in their URLs: `1.png`, `2.png`..."""
        return [f"{n}.{self.model.suffix}" for n in range(1, self.accepted.outputs + 1)]

    def file(self, name: str) -> File | None:
        """Return the output with this name; None if there is none."""
        if name not in self.file_names:
            return None
        key = f"{self.digest}/{self.attempt}/{name.partition('.')[0]}"
        return output_file(self.model.kind, key, self.accepted.input)


def token_fingerprint(token: str) -> str:
    """Return a text that tells two tokens apart without showing them."""
    return blake2b(token.encode(), digest_size=6).hexdigest()


def body_digest(model_id: str, body: object) -> str:
    """Return a digest of a body sent to a model; equal digests: the very same body."""
    if isinstance(body, dict):
        return first_fingerprint(model_id, body)
    return blake2b(msgspec.json.encode([model_id, body]), digest_size=8).hexdigest()


def _between(shortest_s: float, longest_s: float, share: float) -> float:
    return shortest_s + (longest_s - shortest_s) * share


class RequestBook:
    """All requests of one sandbox. Raises `LocalIOError` if the journal cannot be used."""

    def __init__(
        self, config: SandboxConfig, catalogue: SandboxCatalogue, rng: random.Random
    ) -> None:
        self.queue = RemoteQueue(config.capacity)
        self.requests: dict[str, Request] = {}
        self.balance_microusd = round(config.balance_usd * 1_000_000)
        self._config = config
        self._catalogue = catalogue
        self._rng = rng
        self.attempts: Counter[str] = Counter()
        """By digest: how many jobs have been accepted for this body."""
        self._journal = Journal(config.journal) if config.journal else None
        if self._journal:
            try:
                self._replay(self._journal)
            except LocalIOError:
                self.close()
                raise

    def price_microusd(self, model: Model, values: Mapping[str, JSONValue]) -> int:
        """Return the price of a job, in millionths of a USD."""
        return model.price_microusd(values, self._outputs(model, values))

    def accept(
        self,
        model: Model,
        values: dict[str, JSONValue],
        *,
        digest: str,
        token: str,
        fate: Fault | None,
        now: float,
    ) -> Request:
        """Accept a job: give it an id, record it, debit its price, queue it."""
        line = AcceptedLine(
            request_id=self._new_id(),
            at=now,
            model=model.entry.model_id,
            input=values,
            token=token,
            outputs=self._outputs(model, values),
            price_microusd=self.price_microusd(model, values),
            fate=fate,
        )
        self._write(line)
        return self._admit(line, model, digest)

    def cancel(self, request: Request, now: float) -> bool:
        """Cancel a waiting job and refund its price; return False if it no longer waits."""
        self.queue.advance(now)
        if self.queue.position(request.ticket) is None:
            return False
        self._write(CancelledLine(request_id=request.request_id, at=now))
        self._withdraw(request, now)
        return True

    def settle(self, request: Request, fate: Fault | None) -> None:
        """Fix how a finished job ended."""
        self._write(EndedLine(request_id=request.request_id, fate=fate))
        request.fate, request.settled = fate, True

    def close(self) -> None:
        """Close the journal."""
        if self._journal:
            self._journal.close()

    def _outputs(self, model: Model, values: Mapping[str, JSONValue]) -> int:
        single = model.kind != "image" or values.get("force_single") is True
        return 1 if single else self._config.images

    def _new_id(self) -> str:
        while True:
            # The source may be seeded the same at every start; ids are unique all the same.
            request_id = f"{self._rng.getrandbits(128):032x}"
            if request_id not in self.requests:
                return request_id

    def _write(self, line: Line) -> None:
        if self._journal:
            self._journal.append(line)

    def _admit(self, line: AcceptedLine, model: Model, digest: str) -> Request:
        self.attempts[digest] += 1
        attempt = self.attempts[digest]
        config = self._config
        duration_s = _between(
            config.duration_min_s, config.duration_max_s,
            chance(config.seed, "duration", digest, attempt),
        )  # fmt: skip
        wait_s = _between(
            config.queue_min_s, config.queue_max_s, chance(config.seed, "queue", digest, attempt)
        )
        request = Request(
            accepted=line,
            model=model,
            digest=digest,
            attempt=attempt,
            ticket=self.queue.submit(duration_s, line.at, wait_s),
            fate=line.fate,
            settled=line.fate is not None,
        )
        self.requests[line.request_id] = request
        self.balance_microusd -= line.price_microusd
        return request

    def _withdraw(self, request: Request, now: float) -> None:
        if self.queue.cancel(request.ticket, now):
            self.balance_microusd += request.accepted.price_microusd

    def _replay(self, journal: Journal) -> None:
        for line in journal.load():
            if isinstance(line, AcceptedLine):
                model = self._catalogue.model_or_bare(line.model)
                self._admit(line, model, body_digest(line.model, line.input))
            elif request := self.requests.get(line.request_id):
                if isinstance(line, CancelledLine):
                    self._withdraw(request, line.at)
                else:
                    request.fate, request.settled = line.fate, True
