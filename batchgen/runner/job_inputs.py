"""The inputs of a job that are files: outputs of earlier steps, and files on this machine.

What is sent was looked at right before: a job that is made from nothing would be paid for in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from batchgen.core.api_answers import Gone, Produced
from batchgen.core.jobs import Asset, Job, Place, Source, with_values
from batchgen.core.json_reader import JSONValue
from batchgen.ports import AddressCheck, AssetChanged, AssetStore
from batchgen.runner.context import RunContext

OutputFinder = Callable[[Source], Asset | None]


class NoInput(Enum):
    """Why a job cannot be submitted although its turn has come."""

    LATER = auto()
    """It may be had by a later run; the user was told why."""
    GONE = auto()
    """The API no longer knows the output."""


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job with everything that it is made from."""

    job: Job
    body: Mapping[str, JSONValue]
    """What is sent. Only here are addresses of local files, which are keys to them."""


@dataclass(frozen=True, slots=True)
class JobInputs:
    """Looks at the addresses of jobs, renews those that have expired, and uploads local files."""

    context: RunContext
    addresses: AddressCheck | None = None
    """None: addresses are sent as they are on record."""
    assets: AssetStore | None = None
    """None: no input is a local file."""
    find_output: OutputFinder = lambda _: None
    """Finds the local file of an output."""

    async def ready(self, job: Job) -> ReadyJob | NoInput:
        """Return the job as it can be sent, or why it cannot. Raise `LocalIOError`."""
        if not (job.sources or job.assets):
            return ReadyJob(job, job.input)
        new: dict[Place, JSONValue] = {}
        assets = dict(job.assets)
        for place, source in job.sources.items():
            found = await self._of_source(source)
            if found is NoInput.LATER:
                why = f"the output of {source.job} has expired and cannot be renewed at the moment"
                return self._later(job, why)
            if isinstance(found, NoInput):
                return found
            if isinstance(found, Asset):
                assets[place], new[place] = found, found.as_input()
            else:
                new[place] = found
        shown = replace(job, input=with_values(job.input, new), assets=assets)
        try:
            return ReadyJob(shown, with_values(shown.input, await self._signed(assets)))
        except AssetChanged as error:
            return self._later(job, str(error))

    def _later(self, job: Job, why: str) -> NoInput:
        self.context.observer.on_note(f"job {job.id!r}: {why}; it is left for the next run")
        return NoInput.LATER

    async def _signed(self, assets: Mapping[Place, Asset]) -> dict[Place, str]:
        if not assets or self.assets is None:
            return {}
        return {place: await self.assets.address_of(one) for place, one in assets.items()}

    async def _of_source(self, source: Source) -> str | Asset | NoInput:
        """Return an address that works, or else the file of the output."""
        if self.addresses is None or not await self.addresses.is_gone(source.url):
            return source.url
        renewed = await self._renewed(source, self.addresses)
        if renewed is not NoInput.GONE or self.assets is None:
            return renewed
        return self.find_output(source) or renewed

    async def _renewed(self, source: Source, addresses: AddressCheck) -> str | NoInput:
        if source.request_id is None:
            return NoInput.GONE
        answer = await self.context.api.result(source.request_id)
        if isinstance(answer, Gone):
            return NoInput.GONE
        outputs = answer.outputs if isinstance(answer, Produced) else ()
        if len(outputs) < source.index:
            return NoInput.LATER
        url = outputs[source.index - 1]
        is_dead = url == source.url or await addresses.is_gone(url)
        return NoInput.LATER if is_dead else url
