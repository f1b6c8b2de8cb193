"""The messages between run, bridge and workers, in msgpack.

Every message is about one file or about the pool as a whole. No message has a token in it, and only
`Fetch` has an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from batchgen.core.events import JobError, OutputFile
from batchgen.core.output_checks import Measure
from batchgen.outputs.part_file import ResumeNote

GONE_S = 45.0
"""The time without any worker after which the cluster counts as gone for good."""
FILES_PER_WORKER = 8
"""As many as a run without workers fetches at once."""
LENGTH_BYTES = 4
"""Before each message on a pipe: its length, the highest byte first."""


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: everything that a worker needs to know."""

    version: str
    address: str
    """Of the cluster; empty: a Ray instance is started, and ends with the bridge."""
    workers: int
    run_dir: str
    output_dir: str
    """As in the manifest: a bucket, a path, or empty."""
    probe: str
    """Path of the file that every worker must see, from the run directory; empty for a bucket."""
    probe_content: str
    hosts: tuple[str, ...]
    is_local_api: bool
    max_file_bytes: int
    stall_s: float
    picture_px: int


class Fetch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Fetch, check and store one output."""

    id: int
    note: ResumeNote
    url: str
    path: str | None = None


class Fetched(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The output is under its name; with what was seen in it."""

    id: int
    file: OutputFile
    note: ResumeNote
    measure: Measure | None = None
    pictures: tuple[bytes, ...] = ()


class Postponed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Network or server did not give the output this time."""

    id: int
    error: JobError
    is_expired: bool = False
    received_bytes: int = 0
    retry_after_s: float | None = None
    hopeless: bool = False
    note: ResumeNote | None = None


class NameTaken(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Another file has the name; only the run may give it the next one."""

    id: int
    note: ResumeNote


class Unstored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The destination, or a disk, did not take it."""

    id: int
    message: str
    may_try_again: bool = False
    """True if the destination could not be reached, False if it refuses."""
    is_of_worker: bool = False
    """True if only the worker's own disk is the reason; another worker may succeed."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """So many workers have shown that they can do their work."""

    workers: int


class Unfit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """No worker can do it; nothing was submitted yet."""

    message: str
    is_place: bool = False
    """True if a worker cannot store files: it does not see the directory, or has no access."""


class ClusterGone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """There has been no worker for so long that there will be none."""

    message: str


Reply = Fetched | Postponed | NameTaken | Unstored
ToBridge = Setup | Fetch
FromBridge = Reply | Ready | Unfit | ClusterGone

_encoder = msgspec.msgpack.Encoder()
_replies = msgspec.msgpack.Decoder(tuple[Reply, ...])
_setup = msgspec.msgpack.Decoder(Setup)
_batches = msgspec.msgpack.Decoder(tuple[Fetch, ...])
_to_bridge = msgspec.msgpack.Decoder(ToBridge)
_from_bridge = msgspec.msgpack.Decoder(FromBridge)


async def read_frame(stream: asyncio.StreamReader) -> bytes | None:
    """Return the next message of a pipe, not yet decoded; None if it was closed."""
    try:
        length_bytes = int.from_bytes(await stream.readexactly(LENGTH_BYTES))
        return await stream.readexactly(length_bytes)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def framed(message: ToBridge | FromBridge) -> bytes:
    """Return a message as it goes through a pipe."""
    data = _encoder.encode(message)
    return len(data).to_bytes(LENGTH_BYTES) + data


def encode(message: Setup | Sequence[Fetch] | Sequence[Reply]) -> bytes:
    """Return what is handed to a worker or comes from it."""
    return _encoder.encode(message)


def decode_setup(data: bytes) -> Setup:
    """Read what a worker needs to know."""
    return _setup.decode(data)


def decode_batch(data: bytes) -> tuple[Fetch, ...]:
    """Read what a worker is to do."""
    return _batches.decode(data)


def decode_replies(data: bytes) -> tuple[Reply, ...]:
    """Read what a worker has done."""
    return _replies.decode(data)


def decode_to_bridge(data: bytes) -> ToBridge:
    """Read a message of the run."""
    message: ToBridge = _to_bridge.decode(data)
    return message


def decode_from_bridge(data: bytes) -> FromBridge:
    """Read a message of the bridge."""
    message: FromBridge = _from_bridge.decode(data)
    return message
