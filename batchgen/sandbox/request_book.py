"""The journal: what was accepted, on disk before the answer leaves, so that it survives SIGKILL.

One JSON object a line, append-only. Three kinds of lines, told apart by their first key:
`accepted` (a request), `cancelled` (one that left the queue), `ended` (how a job ended, where only
a fault rule knew). Everything else follows from the seed. No token is written, only fingerprints.

Each line is one unbuffered write: when `append` returns, the system has it, whatever happens to
the process. It is not fsynced; a power cut may cost a rehearsal its last requests.

Accepted requests: what one is, and the book of all of them with queue, wallet and journal.

No HTTP in here and no clock: `now` is seconds since 1970 and comes from the caller. The journal
is written before the book changes, so what was answered is always on disk.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import JSONValue, fingerprint
from batchgen.sandbox.config import SandboxConfig
from batchgen.sandbox.faults.kinds import Fault
from batchgen.sandbox.faults.rules import chance
from batchgen.sandbox.http_answer import Answer
from batchgen.sandbox.model_catalogue import Model, SandboxCatalogue
from batchgen.sandbox.remote_queue import RemoteQueue, Ticket


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
    """A request was taken out of the queue."""

    request_id: str
    at: float


class EndedLine(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="line"):
    """What the result of a request was told to be; fate None: good."""

    request_id: str
    fate: Fault | None = None


Line = AcceptedLine | CancelledLine | EndedLine

_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


class Journal:
    """An open journal. Raises `LocalIOError` where the disk refuses or a line is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as problem:
            raise LocalIOError(f"{path}: the journal cannot be opened: {problem}") from None

    def load(self) -> list[Line]:
        """Every whole line, oldest first. Cuts a torn last line off, so that appends stay whole."""
        data = self._path.read_bytes()
        good = data[: data.rfind(b"\n") + 1]
        if len(good) < len(data):
            os.ftruncate(self._file, len(good))
        lines: list[Line] = []
        for number, text in enumerate(good.splitlines(), 1):
            try:
                lines.append(_decoder.decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                message = (
                    f"{self._path}:{number}: not a line of a sandbox journal ({problem}); "
                    "name another file, or remove this one to begin anew"
                )
                raise LocalIOError(message) from None
        return lines

    def append(self, line: Line) -> None:
        """Write one line. Raises `LocalIOError`, with nothing of the line left behind."""
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

    request_id: str
    model: Model
    values: Mapping[str, JSONValue]
    """The input as it was sent."""
    token: str
    """Fingerprint of the token that it belongs to."""
    accepted_at: float
    """Seconds since 1970."""
    digest: str
    """Of model and input; equal bodies share it."""
    attempt: int
    """Which accepted job of this very body it is, from 1."""
    outputs: int
    price_microusd: int
    ticket: Ticket
    fate: Fault | None = None
    """How it ends badly."""
    settled: bool = False
    """Whether its result has been told, so that it can no longer change."""
    dead_link: Answer | None = None
    """What the first addresses of its outputs answer since they died."""

    @property
    def key(self) -> str:
        """Names it in every run alike, unlike the request_id, which is random."""
        return f"{self.digest}#{self.attempt}"


def token_fingerprint(token: str) -> str:
    """Tells two tokens apart without showing them."""
    return blake2b(token.encode(), digest_size=6).hexdigest()


def body_digest(model_id: str, body: object) -> str:
    """Names a body sent to a model; for objects it is the fingerprint of `batchgen` jobs."""
    if isinstance(body, dict):
        return fingerprint(model_id, body)
    return blake2b(msgspec.json.encode([model_id, body]), digest_size=8).hexdigest()


class RequestBook:
    """All requests of one sandbox. `LocalIOError` where the journal cannot be read or written."""

    def __init__(
        self, config: SandboxConfig, catalogue: SandboxCatalogue, rng: random.Random
    ) -> None:
        self.queue = RemoteQueue(config.capacity)
        self.requests: dict[str, Request] = {}
        self.balance_microusd = round(config.balance_usd * 1_000_000)
        self._config = config
        self._catalogue = catalogue
        self._rng = rng
        self._attempts: Counter[str] = Counter()
        self._journal = Journal(config.journal) if config.journal else None
        if self._journal:
            try:
                self._replay(self._journal)
            except LocalIOError:
                self.close()
                raise

    def price_microusd(self, model: Model, values: Mapping[str, JSONValue]) -> int:
        """What a job costs, in millionths of a USD."""
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
        """Take a job in: name it, write it down, debit its price, queue it."""
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
        """Take a waiting job out of the queue and give its price back; False: no longer waiting."""
        self.queue.advance(now)
        if self.queue.position(request.ticket) is None:
            return False
        self._write(CancelledLine(request_id=request.request_id, at=now))
        return self._withdraw(request, now)

    def settle(self, request: Request, fate: Fault | None, *, keep: bool) -> None:
        """Fix how a finished job ended; with `keep` also beyond this process."""
        if keep:
            self._write(EndedLine(request_id=request.request_id, fate=fate))
        request.fate, request.settled = fate, True

    def attempts(self, digest: str) -> int:
        """Jobs accepted so far for this body."""
        return self._attempts[digest]

    def close(self) -> None:
        """Close the journal."""
        if self._journal:
            self._journal.close()

    def _outputs(self, model: Model, values: Mapping[str, JSONValue]) -> int:
        single = model.kind != "image" or values.get("force_single") is True
        return 1 if single else self._config.images

    def _new_id(self) -> str:
        while True:
            # The same seeded source may come with every start; ids stay unique all the same.
            request_id = f"{self._rng.getrandbits(128):032x}"
            if request_id not in self.requests:
                return request_id

    def _write(self, line: AcceptedLine | CancelledLine | EndedLine) -> None:
        if self._journal:
            self._journal.append(line)

    def _admit(self, line: AcceptedLine, model: Model, digest: str) -> Request:
        self._attempts[digest] += 1
        attempt = self._attempts[digest]
        shortest, longest = self._config.duration_min_s, self._config.duration_max_s
        share = chance(self._config.seed, "duration", digest, attempt)
        request = Request(
            request_id=line.request_id,
            model=model,
            values=line.input,
            token=line.token,
            accepted_at=line.at,
            digest=digest,
            attempt=attempt,
            outputs=line.outputs,
            price_microusd=line.price_microusd,
            ticket=self.queue.submit(shortest + (longest - shortest) * share, line.at),
            fate=line.fate,
            settled=line.fate is not None,
        )
        self.requests[line.request_id] = request
        self.balance_microusd -= line.price_microusd
        return request

    def _withdraw(self, request: Request, now: float) -> bool:
        taken = self.queue.cancel(request.ticket, now)
        if taken:
            self.balance_microusd += request.price_microusd
        return taken

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
