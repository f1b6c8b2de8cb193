"""The worker on a node of the cluster: fetches outputs, stores them, and looks at them.

It raises nothing: an exception would be written, with the values in its frames, to the logs of the
cluster. It keeps nothing either: whatever it has not answered is done again by another worker.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from batchgen import __version__
from batchgen.core.errors import LocalIOError
from batchgen.core.events import JobError, OutputFile
from batchgen.engines.messages import (
    Fetch,
    Fetched,
    NameTaken,
    Postponed,
    Reply,
    Unstored,
    decode_batch,
    decode_setup,
    encode,
)
from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import UrlPolicy
from batchgen.outputs.answers import DownloadPostponed, Unreachable
from batchgen.outputs.destination import Destination
from batchgen.outputs.file_worker import FileWorker
from batchgen.outputs.output_dir import bucket_at, destination_of
from batchgen.outputs.part_file import ResumeNote
from batchgen.ports import LinkExpired
from batchgen.reports.thumbnails import inspect_file
from batchgen.system.clock import SystemClock

THREADS = 12


class NoOtherName(Exception):
    """Another file has the name, and only the run knows the names that are free."""


class FetchActor:
    """One worker; its methods are called by the bridge, several at a time."""

    def __init__(self, setup: bytes) -> None:
        self._setup = decode_setup(setup)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="files")
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._destination: Destination | None = None
        self._http: HttpGet | None = None

    async def check(self) -> tuple[str, str]:
        """Return the version of this package here, and why no file can be stored, or ""."""
        if self._setup.version != __version__:
            return __version__, ""
        try:
            return __version__, await asyncio.to_thread(self._place_fault)
        except Exception as error:  # noqa: BLE001 - nothing may be raised, see above
            return __version__, _text(error)

    def _place_fault(self) -> str:
        setup = self._setup
        if not setup.probe:
            self._place().prepare()
            return ""
        path = Path(setup.run_dir) / setup.probe
        with suppress(OSError, UnicodeDecodeError):
            if path.read_text(encoding="utf-8") == setup.probe_content:
                return ""
        return f"it does not see {path.parent}"

    async def fetch(self, batch: bytes) -> AsyncIterator[bytes]:
        """Do what is in the batch, and yield the answers as they come."""
        tasks = [asyncio.create_task(self._one(one)) for one in decode_batch(batch)]
        try:
            for task in asyncio.as_completed(tasks):
                yield encode((await task,))
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, task: Fetch) -> Reply:
        latest = task.note

        def remember(note: ResumeNote) -> None:
            nonlocal latest
            latest = note

        def claim(_: str) -> str:
            raise NoOtherName

        try:
            worker = FileWorker(
                root=Path(self._setup.run_dir if self._setup.probe else self._scratch_dir),
                destination=self._place(), claim=claim, remember=remember,
                http=await self._session(), clock=SystemClock(), threads=self._threads,
                max_file_bytes=self._setup.max_file_bytes, stall_s=self._setup.stall_s,
                on_defect=lambda _: None,  # the answer says so
            )  # fmt: skip
            file = await worker.fetch(task.note, task.url, task.path)
            return await asyncio.to_thread(self._looked_at, task.id, file, latest)
        except NoOtherName:
            return NameTaken(id=task.id, note=latest)
        except DownloadPostponed as postponed:
            return _postponed(task.id, postponed)
        except Unreachable as error:
            return Unstored(id=task.id, message=_text(error), may_try_again=True)
        except (OSError, LocalIOError) as error:
            is_of_worker = not self._setup.probe and isinstance(error, OSError)
            return Unstored(id=task.id, message=_text(error), is_of_worker=is_of_worker)
        except Exception as error:  # noqa: BLE001 - nothing may be raised, see above
            defect = JobError(kind="download", message=f"a defect of batchgen: {_text(error)}")
            return Postponed(id=task.id, error=defect, hopeless=True)

    def _looked_at(self, number: int, file: OutputFile, note: ResumeNote) -> Fetched:
        if not self._setup.probe:  # what is in a bucket is not looked at, as without workers
            return Fetched(id=number, file=file, note=note)
        path = Path(self._setup.run_dir) / file.path
        measure, pictures = inspect_file(path, self._setup.picture_px)
        return Fetched(id=number, file=file, note=note, measure=measure, pictures=pictures)

    def _place(self) -> Destination:
        if self._destination is None:
            setup = self._setup
            if setup.probe:
                self._destination = destination_of(Path(setup.run_dir), setup.output_dir)
            else:
                self._destination = bucket_at(setup.output_dir, parts=self._scratch_dir)
                self._destination.prepare()
        return self._destination

    @property
    def _scratch_dir(self) -> Path:
        """A directory of this worker alone, where files on their way to a bucket are received."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="batchgen-")
        return Path(self._scratch.name)

    async def _session(self) -> HttpGet:
        if self._http is None:
            hosts = frozenset(self._setup.hosts)
            self._http = HttpGet(UrlPolicy(local=self._setup.is_local_api, hosts=hosts))
            await self._http.__aenter__()
        return self._http


def _postponed(number: int, postponed: DownloadPostponed) -> Postponed:
    answer = postponed.answer
    if isinstance(answer, LinkExpired):
        return Postponed(id=number, error=answer.error, is_expired=True, note=postponed.note)
    return Postponed(
        id=number, error=answer.error, received_bytes=answer.received_bytes,
        retry_after_s=answer.retry_after_s, hopeless=answer.hopeless, note=postponed.note,
    )  # fmt: skip


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
