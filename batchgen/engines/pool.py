"""The pool in the run: hands files to the bridge, and turns its answers into values and errors.

If the bridge dies it is started again, and the files that it had are handed out again: that costs
time and nothing else. If no cluster can be had any more, they are left for the next run.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import msgspec

from batchgen.core.errors import LocalIOError, MissingExtra, NoWorkers
from batchgen.core.events import OutputFile
from batchgen.core.output_checks import Measure
from batchgen.engines.messages import (
    GONE_S,
    ClusterGone,
    Fetch,
    Fetched,
    FromBridge,
    NameTaken,
    Postponed,
    Ready,
    Reply,
    Setup,
    Unfit,
    Unstored,
    decode_from_bridge,
    framed,
    read_frame,
)
from batchgen.outputs.answers import DownloadPostponed, Unreachable, save_later
from batchgen.outputs.destination import Destination
from batchgen.outputs.file_worker import FilePool
from batchgen.outputs.part_file import ResumeNote
from batchgen.ports import Clock, LinkExpired, SaveLater

EXTRA = "ray"
PAUSE_S = 2.0
"""Between two tries to start a bridge."""
CLOSING_S = 2.0
"""The time that a bridge has to stop its workers, and the Ray that it started."""

Keep = Callable[[OutputFile, Measure, tuple[bytes, ...]], None]
"""Takes what a worker has seen in a file."""


def require_ray() -> None:
    """Raise `MissingExtra` if the library is not installed."""
    if find_spec("ray") is None:
        raise MissingExtra(f"--engine ray needs an extra: pip install 'batchgen[{EXTRA}]'")


@dataclass(slots=True, kw_only=True)
class RayPool:
    """The files that are out with workers; a `FilePool` once `claim` and `remember` are known."""

    setup: Setup
    environment: Mapping[str, str]
    """Of the bridge: without the token."""
    keep: Keep
    say: Callable[[str], None]
    clock: Clock
    claim: Callable[[str], str] = str
    remember: Callable[[ResumeNote], None] = field(default=lambda _: None)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _out: dict[int, tuple[Fetch, asyncio.Future[Reply]]] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None
    _listening: asyncio.Task[None] | None = None
    _is_up: bool = False
    _gone: str = ""
    """Why there are no workers any more; empty as long as there are."""

    async def start(self) -> None:
        """Start the bridge and wait for workers.

        Raise `NoWorkers` if there are none, `LocalIOError` if they do not see the directory.
        """
        answer = await self._start_bridge()
        if isinstance(answer, Unfit):
            await self.close()
            raise (LocalIOError if answer.is_place else NoWorkers)(
                f"--engine ray: {answer.message}; nothing was submitted"
            )
        if not isinstance(answer, Ready):
            await self.close()
            raise NoWorkers(
                "--engine ray: the process that speaks with Ray ended at once; nothing was"
                " submitted; run again, and if it happens again, look at Ray's logs in /tmp/ray"
            )
        self.say(f"files are fetched by {answer.workers} of {self.setup.workers} Ray workers")
        self._is_up = True
        self._listening = asyncio.create_task(self._listen())

    async def _start_bridge(self) -> FromBridge | None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "batchgen.engines.bridge",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=dict(self.environment),
            start_new_session=True,  # a Ctrl-C is for the run
        )  # fmt: skip
        self._send(self.setup)
        return await self._receive()

    async def fetch(self, note: ResumeNote, url: str, path: str | None) -> OutputFile:
        """Have one output fetched; raise as `FilePool.fetch`."""
        while True:
            reply = await self._asked(Fetch(id=next(self._numbers), note=note, url=url, path=path))
            match reply:
                case Fetched():
                    await asyncio.to_thread(self._fetched, reply)
                    return reply.file
                case NameTaken():
                    note = _renamed(reply.note, self.claim(reply.note.stem))
                case Postponed():
                    raise _postponed(reply)
                case Unstored(may_try_again=True):
                    raise Unreachable(reply.message)
                case Unstored():
                    raise LocalIOError(f"{reply.message}; what was received is kept")

    def _fetched(self, reply: Fetched) -> None:
        """Note which file it is, which proves it after a kill; keep what was seen in it."""
        self.remember(reply.note)
        if reply.measure is not None:
            self.keep(reply.file, reply.measure, reply.pictures)

    async def _asked(self, message: Fetch) -> Reply:
        if self._gone:
            raise DownloadPostponed(save_later(self._gone, hopeless=True))
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._out[message.id] = message, answer
        try:
            if self._is_up:  # otherwise the next bridge is given it, once
                self._send(message)
            return await answer
        finally:
            self._out.pop(message.id, None)

    def _send(self, message: Setup | Fetch) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(ConnectionError, RuntimeError):  # a dead bridge: it is asked again
                self._process.stdin.write(framed(message))

    async def _receive(self) -> FromBridge | None:
        """Return the next message; None if the bridge has ended."""
        stream = self._process.stdout if self._process is not None else None
        data = None if stream is None else await read_frame(stream)
        return None if data is None else decode_from_bridge(data)

    async def _listen(self) -> None:
        """Pass answers on; start another bridge if this one dies."""
        while True:
            message = await self._receive()
            if isinstance(message, ClusterGone):
                self._give_up(message.message)
                return
            if message is None:
                if not await self._start_again():
                    return
            elif not isinstance(message, Ready | Unfit):
                _, answer = self._out.get(message.id, (None, None))
                if answer is not None and not answer.done():
                    answer.set_result(message)

    async def _start_again(self) -> bool:
        """Start another bridge and hand out again what the dead one had; False if none helps."""
        why, begun_s = "the process that speaks with Ray has ended", self.clock.monotonic_s()
        self._is_up = False
        self.say(f"{why}; its files are handed out again")
        while (left_s := begun_s + GONE_S - self.clock.monotonic_s()) > 0:
            await self._reap()
            answer = None
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(self._start_bridge(), left_s)
            if isinstance(answer, Ready):
                self._is_up = True
                for message, _ in list(self._out.values()):
                    self._send(message)
                return True
            why = answer.message if isinstance(answer, Unfit) else why
            await self.clock.sleep(PAUSE_S)
        self._give_up(why)
        return False

    def _give_up(self, why: str) -> None:
        """Leave every file for the next run."""
        self._gone = f"no Ray workers any more ({why})"
        self.say(self._gone)
        later = Postponed(id=0, error=save_later(self._gone).error, hopeless=True)
        for _, waiting in list(self._out.values()):
            if not waiting.done():
                waiting.set_result(later)

    async def close(self) -> None:
        """End the bridge, and with it the workers, and the Ray that it started."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await self._reap()

    async def _reap(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with suppress(ConnectionError, RuntimeError):
                process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), CLOSING_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
        self._process = None

    def bound(
        self, *, claim: Callable[[str], str], remember: Callable[[ResumeNote], None]
    ) -> FilePool:
        """Return the pool with what only the store can decide (`MakePool`)."""
        self.claim, self.remember = claim, remember
        return self


@asynccontextmanager
async def ray_pool(
    setup: Setup,
    destination: Destination,
    *,
    environment: Mapping[str, str],
    keep: Keep,
    say: Callable[[str], None],
    clock: Clock,
) -> AsyncIterator[RayPool]:
    """Give a pool whose workers have shown that they see the destination.

    Raises `MissingExtra`, `NoWorkers` or `LocalIOError`; nothing was submitted then.
    """
    require_ray()
    with _probe(setup, destination) as probed:
        pool = RayPool(setup=probed, environment=environment, keep=keep, say=say, clock=clock)
        await pool.start()
        try:
            yield pool
        finally:
            await pool.close()


@contextmanager
def _probe(setup: Setup, destination: Destination) -> Iterator[Setup]:
    """Write a file that every worker must see, for as long as there are workers."""
    destination.prepare()
    if "://" in setup.output_dir:
        yield setup
        return
    content = secrets.token_hex(16)
    # A name that the next run removes if this one is killed.
    name = destination.path_of(f".batchgen-probe.{os.getpid()}-{secrets.randbelow(10**9)}.new")
    path = Path(setup.run_dir) / name
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    try:
        yield msgspec.structs.replace(setup, probe=name, probe_content=content)
    finally:
        path.unlink(missing_ok=True)


def _renamed(note: ResumeNote, stem: str) -> ResumeNote:
    return msgspec.structs.replace(note, stem=stem, name="")


def _postponed(reply: Postponed) -> DownloadPostponed:
    """Return the exception that a worker in this process would have raised."""
    answer: LinkExpired | SaveLater = SaveLater(
        error=reply.error, received_bytes=reply.received_bytes,
        retry_after_s=reply.retry_after_s, hopeless=reply.hopeless,
    )  # fmt: skip
    if reply.is_expired:
        answer = LinkExpired(error=reply.error)
    return DownloadPostponed(answer, reply.note)
