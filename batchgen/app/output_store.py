"""The output store of a batch, put together: destination, URL policy, file names, sidecars.

A sidecar describes what was submitted, which is not what the row says now if it was edited since.
For jobs of this run that is known from their intents; for those of earlier runs from the rows of
the manifest that are still the same, or else from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.api_base import ApiBase
from batchgen.core.errors import UsageError
from batchgen.core.events import Accepted, Event, Intended, OutputFile, Started, Succeeded
from batchgen.core.jobs import Asset, Batch, Source
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import IN_FLIGHT, PAID_FOR, JobRecord, JobState, Records
from batchgen.ledger.replay import inputs_of
from batchgen.net.address_check import HttpAddressCheck
from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import UrlPolicy
from batchgen.outputs.answers import Unreachable, save_later
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.output_dir import destination_of, missing_extra
from batchgen.outputs.sidecar import sidecar
from batchgen.outputs.store import Store
from batchgen.ports import (
    AddressCheck,
    AssetStore,
    Clock,
    FilesSaved,
    Observer,
    OutputStore,
    SaveAnswer,
)
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.loading import LoadedBatch
    from batchgen.outputs.file_worker import MakePool

_STILL_OPEN = (Intended, Accepted, Started, Succeeded)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedInput:
    """Model and input of one submission."""

    model: str
    values: Mapping[str, JSONValue]


@dataclass(slots=True, kw_only=True)
class SubmittedInputs:
    """What was submitted for each open job; an `Observer` that passes everything on."""

    batch: Batch
    records: Records
    run_dir: Path
    then: Observer
    _known: dict[str, SubmittedInput] = field(default_factory=dict)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Remember a submission until its job has ended."""
        if isinstance(event, Intended):
            self._known[job] = SubmittedInput(model=event.model, values=event.input)
        elif not isinstance(event, _STILL_OPEN):
            self._known.pop(job, None)
        self.then.on_event(job, event, record)

    def on_note(self, text: str) -> None:
        """Pass a sentence on."""
        self.then.on_note(text)

    async def of(self, job: str) -> SubmittedInput | None:
        """Return what was submitted; None if neither manifest nor ledger knows it any more."""
        if job not in self._known:
            wanted = {
                record.job: record.fingerprint
                for record in self.records.records(JobState.COMPLETED, *IN_FLIGHT)
                if record.job not in self._known
            }
            await asyncio.to_thread(self._look_up, wanted)
        return self._known.get(job)

    def _look_up(self, wanted: dict[str, str]) -> None:
        """Look it up without touching the records, which belong to the loop's thread."""
        for row in self.batch.jobs():
            if row.id in wanted and wanted[row.id] == row.fingerprint:
                self._known[row.id] = SubmittedInput(model=row.model, values=row.input)
                del wanted[row.id]
        for job, sent in inputs_of(self.run_dir, wanted).items() if wanted else ():
            self._known[job] = SubmittedInput(model=sent.model, values=sent.input)


def store_of(
    directory: RunDirectory,
    loaded: LoadedBatch,
    records: Records,
    *,
    api: ApiBase,
    download: bool,
    clock: Clock,
    on_defect: Callable[[str], None],
    make_pool: MakePool | None = None,
) -> Store:
    """Return the store of a batch, to be entered before use."""
    output = loaded.manifest.settings.output

    def name_of(job: str, index: int) -> str:
        record = records.get(job)
        return loaded.names(job, index, 1 if record is None else record.take)

    return Store(
        run_dir=directory.path,
        destination=destination_of(directory.path, output.dir),
        url_policy=UrlPolicy.for_outputs(api, output.hosts),
        name_of=name_of,
        names=FileNameClaims(_paths(records)),
        clock=clock,
        on_defect=on_defect,
        prepares=download,
        make_pool=make_pool,
    )


@asynccontextmanager
async def address_check(loaded: LoadedBatch, api: ApiBase) -> AsyncIterator[AddressCheck | None]:
    """Give the look at addresses before a later step sends them; None without steps."""
    settings = loaded.manifest.settings
    if not settings.steps:
        yield None
        return
    async with HttpGet(UrlPolicy.for_outputs(api, settings.output.hosts)) as http:
        yield HttpAddressCheck(http)


@asynccontextmanager
async def asset_store(
    loaded: LoadedBatch, *, expiry_s: float, clock: Clock
) -> AsyncIterator[AssetStore | None]:
    """Give the store of local input files, ready to be used; None if none may be needed.

    Raises `UsageError` without the library for it, and `LocalIOError` if the store refuses.
    """
    url = loaded.manifest.upload_to
    if url is None or not (loaded.has_assets or loaded.manifest.settings.steps):
        yield None
        return
    if missing := missing_extra():
        raise UsageError(f"--assets: {missing}")
    from batchgen.outputs.asset_store import BucketAssets

    store = BucketAssets(url=url, expiry_s=expiry_s, clock=clock)
    await store.prepare()
    try:
        yield store
    finally:
        await store.close()


def output_finder(directory: RunDirectory, records: Records) -> Callable[[Source], Asset | None]:
    """Return what finds the local file of an output that the API no longer has."""

    def find(source: Source) -> Asset | None:
        record = records.get(source.job)
        takes = () if record is None else (*record.takes, record.present_take)
        files = (file for take in takes for file in take.files if file.path == source.path)
        file = next(files, None)
        if file is None or not (directory.path / file.path).is_file():
            return None
        return Asset(
            name=file.path,
            path=str(directory.path / file.path),
            sha256=file.sha256,
            bytes=file.bytes,
            extension=Path(file.path).suffix.lstrip("."),
        )

    return find


def _paths(records: Records) -> Iterator[str]:
    """Yield the path of every file of the present takes, and of the takes before them."""
    for record in records.records(*PAID_FOR):
        yield from (file.path for file in record.files)
        yield from (file.path for take in record.takes for file in take.files)


@dataclass(slots=True, kw_only=True)
class SidecarStore:
    """A store that writes a sidecar beside each file (port `OutputStore`)."""

    store: Store
    records: Records
    inputs: SubmittedInputs

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Save the files, then their sidecars: both exist before the ledger says so."""
        answer = await self.store.save(job, urls, known)
        try:
            for file in answer.files if isinstance(answer, FilesSaved) else ():
                await self._describe(job, file)
        except Unreachable as error:
            return save_later(str(error))
        return answer

    def settled(self, job: str) -> None:
        """Pass it on."""
        self.store.settled(job)

    async def _describe(self, job: str, file: OutputFile) -> None:
        submitted = await self.inputs.of(job)
        record = self.records.get(job)
        if submitted is not None and record is not None:
            content = sidecar(file, record, model=submitted.model, values=submitted.values)
            await self.store.put_sidecar(file, content)


def with_sidecars(
    store: Store, loaded: LoadedBatch, records: Records, observer: Observer, *, wanted: bool
) -> tuple[OutputStore, Observer]:
    """Return a store that writes sidecars, and the observer that tells it of submissions.

    Without `wanted`, returns both as they are.
    """
    if not wanted:
        return store, observer
    inputs = SubmittedInputs(
        batch=loaded.batch(records), records=records, run_dir=store.run_dir, then=observer
    )
    return SidecarStore(store=store, records=records, inputs=inputs), inputs
