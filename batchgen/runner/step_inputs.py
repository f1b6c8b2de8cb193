"""The inputs of jobs of later steps: addresses of earlier outputs, which expire.

What is sent was looked at right before: a job that is made from nothing would be paid for in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from batchgen.core.api_answers import Gone, Produced
from batchgen.core.chains import with_urls
from batchgen.core.jobs import Job, Source
from batchgen.ports import AddressCheck
from batchgen.runner.context import RunContext


class NoInput(Enum):
    """Why a job cannot be submitted although its turn has come."""

    LATER = auto()
    """The API does not say at the moment where the output is now."""
    GONE = auto()
    """The API no longer knows the output."""


@dataclass(frozen=True, slots=True)
class StepInputs:
    """Looks at the addresses of jobs, and renews those that have expired."""

    context: RunContext
    addresses: AddressCheck | None
    """None: they are sent as they are on record."""

    async def renewed(self, job: Job) -> Job | NoInput:
        """Return the job with addresses that work, or why there are none."""
        if self.addresses is None or not job.sources:
            return job
        new: dict[Source, str] = {}
        for source in dict.fromkeys(job.sources.values()):
            url = await self._working(source, self.addresses)
            if isinstance(url, NoInput):
                return url
            new[source] = url
        return with_urls(job, new)

    async def _working(self, source: Source, addresses: AddressCheck) -> str | NoInput:
        if not await addresses.is_gone(source.url):
            return source.url
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
