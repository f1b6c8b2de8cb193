"""The bridge between a run and a Ray cluster: a process of its own, which Ray may bring down.

Ray ends a process whose cluster has gone, and writes what it is given to its logs. So this process
is given no token, knows no ledger, and has nothing that is not done again if it dies. It ends when
the run closes its end of the pipe, however the run ends, and with it the Ray that it started.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from batchgen import __version__
from batchgen.core.events import JobError
from batchgen.engines.messages import (
    FILES_PER_WORKER,
    GONE_S,
    ClusterGone,
    Fetch,
    FromBridge,
    Postponed,
    Ready,
    Reply,
    Setup,
    Unfit,
    Unstored,
    decode_replies,
    decode_to_bridge,
    encode,
    framed,
    read_frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MAX_DEATHS = 3
"""Workers that may die over one file before it is left for the next run."""
MAX_DISKS = 3
"""Workers whose own disk may refuse one file."""
OBJECT_STORE_BYTES = 256 << 20
"""Of a Ray of our own: only names, digests and thumbnails go through it."""
MAX_TEMP_DIR = 30
"""Characters; Ray makes sockets below it, whose paths have a limit."""
WATCH_S = 1.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 10.0
"""Before a lost worker is replaced; each failure doubles the pause."""
HIRING_S = 60.0
"""The time in which the first worker must be ready; for more the cluster may have no room."""
LATER_S = 5.0
"""The time that further workers are waited for once one is ready."""


class Task:
    """One file on its way."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self.deaths = 0
        self.disks: set[int] = set()
        """The workers whose own disk did not take it."""


class Worker:
    """One actor of Ray."""

    def __init__(self, number: int, actor: Any) -> None:
        self.number, self._actor = number, actor
        self.files = 0
        """Files that it has."""
        self.is_lost = False

    @property
    def room(self) -> int:
        """How many more files it may have."""
        return FILES_PER_WORKER - self.files

    def may_do(self, task: Task) -> bool:
        """Tell whether it has not yet refused this file."""
        return self.number not in task.disks

    async def fault(self) -> Unfit | None:
        """Return why it cannot do its work; None if it can."""
        version, fault = await self._actor.check.remote()
        if version != __version__:
            what = f"a worker has batchgen {version}, this run {__version__}; install the same"
            return Unfit(message=what)
        if fault:
            return Unfit(message=f"a worker cannot store files: {fault}", is_place=True)
        return None

    async def fetch(self, batch: list[Fetch]) -> AsyncIterator[Reply]:
        """Have files fetched, and yield the answers; raise what Ray raises if it dies."""
        method = self._actor.fetch.options(num_returns="streaming")
        async for reference in method.remote(encode(batch)):
            for reply in decode_replies(await reference):
                yield reply

    def dismiss(self) -> None:
        """Let it go."""
        import ray

        with suppress(Exception):
            ray.kill(self._actor, no_restart=True)


class Crew:
    """The workers, and the files that wait for one of them. Every file gets one answer."""

    def __init__(self, setup: Setup, hire: Callable[[], Any], tell: Callable[..., None]) -> None:
        self._setup, self._hire, self._tell = setup, hire, tell
        self._waiting: deque[Task] = deque()
        self._work = asyncio.Condition()
        self._ready: asyncio.Queue[Unfit | None] = asyncio.Queue()
        self._members: list[asyncio.Task[None]] = []
        self._at_work = 0

    async def until_gone(self) -> None:
        """Return when there has been no worker for `GONE_S`."""
        without_s = 0.0
        while without_s < GONE_S:
            await asyncio.sleep(WATCH_S)
            without_s = 0.0 if self._at_work else without_s + WATCH_S

    def start(self) -> None:
        """Begin to look for workers."""
        self._members = [
            asyncio.create_task(self._member(number)) for number in range(self._setup.workers)
        ]

    async def first_ready(self) -> Ready | Unfit:
        """Wait until workers are ready; return how many are, or why they cannot be used."""
        faults: list[Unfit] = []
        ready, timeout_s = 0, HIRING_S
        while ready + len(faults) < self._setup.workers:
            try:
                fault = await asyncio.wait_for(self._ready.get(), timeout_s)
            except TimeoutError:
                break
            if fault:
                faults.append(fault)
            else:
                ready += 1
                timeout_s = LATER_S
        if faults:
            return faults[0]
        if not ready:
            what = f"the cluster had no room for a worker within {HIRING_S:g} s"
            return Unfit(message=what)
        return Ready(workers=ready)

    async def add(self, fetch: Fetch) -> None:
        """Let a file wait for a worker."""
        await self._put(Task(fetch))

    async def _put(self, *tasks: Task, first: bool = False) -> None:
        async with self._work:
            (self._waiting.extendleft if first else self._waiting.extend)(tasks)
            self._work.notify_all()

    async def close(self) -> None:
        """Let every worker go."""
        for member in self._members:
            member.cancel()
        await asyncio.gather(*self._members, return_exceptions=True)

    async def _member(self, number: int) -> None:
        """Be one worker after another: a lost one is replaced for as long as the run goes on."""
        has_reported, pause_s = False, FIRST_PAUSE_S
        while True:
            worker = None
            try:
                worker = Worker(number, self._hire())
                fault = await worker.fault()
                if not has_reported:
                    self._ready.put_nowait(fault)
                    has_reported = True
                if not fault:
                    pause_s = FIRST_PAUSE_S
                    await self._serve(worker)
            except Exception as error:  # noqa: BLE001 - whatever Ray raises, another worker may do
                if not has_reported and (why := _hopeless(error)):
                    self._ready.put_nowait(why)
                    has_reported = True
            finally:
                if worker is not None:
                    worker.dismiss()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _serve(self, worker: Worker) -> None:
        """Hand files to a worker until it dies; never more at once than it can fetch."""
        batches: set[asyncio.Task[None]] = set()
        self._at_work += 1
        try:
            while True:
                async with self._work:
                    await self._work.wait_for(lambda: worker.is_lost or self._has_work(worker))
                    if worker.is_lost:
                        return
                    batch = self._taken(worker)
                handing_over = asyncio.create_task(self._run_batch(worker, batch))
                batches.add(handing_over)
                handing_over.add_done_callback(batches.discard)
        except asyncio.CancelledError:
            for handing_over in batches:
                handing_over.cancel()
            raise
        finally:
            self._at_work -= 1
            await asyncio.gather(*batches, return_exceptions=True)

    def _has_work(self, worker: Worker) -> bool:
        return worker.room > 0 and any(worker.may_do(task) for task in self._waiting)

    def _taken(self, worker: Worker) -> list[Task]:
        taken = [task for task in self._waiting if worker.may_do(task)][: worker.room]
        for task in taken:
            self._waiting.remove(task)
        worker.files += len(taken)
        return taken

    async def _run_batch(self, worker: Worker, tasks: list[Task]) -> None:
        """Have a batch done. What a worker that died has left undone waits for another."""
        left = {task.fetch.id: task for task in tasks}
        try:
            async for reply in worker.fetch([task.fetch for task in tasks]):
                worker.files -= 1
                await self._take(worker, left.pop(reply.id), reply)
        except Exception:  # noqa: BLE001 - a dead worker, node or cluster; all raise their own
            worker.is_lost = True
            await self._put(*(task for task in left.values() if self._may_go_on(task)), first=True)

    def _may_go_on(self, task: Task) -> bool:
        """Count a lost worker, and answer for a file over which too many were lost."""
        task.deaths += 1
        if task.deaths < MAX_DEATHS:
            return True
        message = f"{MAX_DEATHS} workers were lost over it"
        error = JobError(kind="download", message=message)
        self._tell(Postponed(id=task.fetch.id, error=error, hopeless=True))
        return False

    async def _take(self, worker: Worker, task: Task, reply: Reply) -> None:
        """Pass an answer on; a file that the disk of one worker did not take goes to another."""
        if isinstance(reply, Unstored) and reply.is_of_worker:
            task.disks.add(worker.number)
            if len(task.disks) < min(MAX_DISKS, self._setup.workers):
                await self._put(task, first=True)
                return
            reply = Unstored(id=reply.id, message=reply.message, may_try_again=True)
        self._tell(reply)
        await self._put()  # there is room again


def _hopeless(error: Exception) -> Unfit | None:
    """Return why no worker can be had at all; None if another one may."""
    text = str(error)
    if "No module named" in text or "ModuleNotFoundError" in text:
        what = "a worker cannot import batchgen; install batchgen[ray] on every node"
        return Unfit(message=what)
    return None


async def run_bridge(pipe: asyncio.StreamReader, tell: Callable[[FromBridge], None]) -> None:
    """Serve one run until it closes the pipe."""
    setup = await _read(pipe)
    if not isinstance(setup, Setup):
        return
    try:
        hire = await asyncio.to_thread(_connect, setup)
    except Exception as error:  # noqa: BLE001 - of any kind, from any layer of Ray
        tell(Unfit(message=f"no Ray cluster: {_first_line(error)}"))
        return
    crew = Crew(setup, hire, tell)
    crew.start()
    try:
        answer = await crew.first_ready()
        tell(answer)
        if isinstance(answer, Unfit):
            return
        reading = asyncio.create_task(_read_on(pipe, crew))
        gone = asyncio.create_task(crew.until_gone())
        await asyncio.wait((reading, gone), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            tell(ClusterGone(message=f"no worker for {GONE_S:g} s"))
        reading.cancel()
        gone.cancel()
    finally:
        await crew.close()


async def _read_on(pipe: asyncio.StreamReader, crew: Crew) -> None:
    """Take files from the run until it closes the pipe."""
    while (message := await _read(pipe)) is not None:
        if isinstance(message, Fetch):
            await crew.add(message)


def _connect(setup: Setup) -> Callable[[], Any]:
    """Join a cluster, or start one, and return what hires a worker there."""
    import ray

    from batchgen.engines.actor import FetchActor

    known: dict[str, Any] = {"address": setup.address}
    if not setup.address:
        temp_dir = tempfile.gettempdir()
        known = {
            "address": "local", "num_cpus": max(setup.workers, os.cpu_count() or 1),
            "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": f"{temp_dir if len(temp_dir) <= MAX_TEMP_DIR else '/tmp'}/ray",  # noqa: S108
        }  # fmt: skip
    ray.init(log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **known)
    options: dict[str, Any] = {
        "num_cpus": 1, "max_concurrency": 4 * FILES_PER_WORKER, "max_restarts": 0,
        "max_task_retries": 0, "scheduling_strategy": "SPREAD",
    }  # fmt: skip
    worker = ray.remote(FetchActor).options(**options)
    text = encode(setup)
    return lambda: worker.remote(text)


async def _read(pipe: asyncio.StreamReader) -> Setup | Fetch | None:
    """Return the next message of the run; None if that has closed the pipe."""
    data = await read_frame(pipe)
    return None if data is None else decode_to_bridge(data)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def main() -> int:
    """Run the bridge on stdin and stdout, which nothing else may write to."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever Ray prints
    asyncio.run(_serve_stdin(out))
    return 0


async def _serve_stdin(out: BinaryIO) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def tell(message: FromBridge) -> None:
        data = memoryview(framed(message))
        with suppress(BrokenPipeError):
            while data:
                data = data[out.write(data) :]

    serving = asyncio.create_task(run_bridge(reader, tell))
    await serving
    import ray

    ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
