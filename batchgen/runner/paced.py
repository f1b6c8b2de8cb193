"""The remote side at the rate that the user allows: every call waits for its place."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.core.answers import CancelOutcome, Look, SubmitAnswer
from batchgen.core.jobs import JSONValue
from batchgen.core.rate import Rate
from batchgen.ports import Clock, GenerationAPI


class PacedAPI:
    """A `GenerationAPI` that starts at most so many calls a second, looks included."""

    def __init__(self, api: GenerationAPI, clock: Clock, per_s: float | None) -> None:
        self._api = api
        self._clock = clock
        self._rate = Rate(per_s=per_s)
        self.waiting_s = 0.0
        """How long the last call had to wait for its place."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.submit(model, values)

    async def status(self, request_id: str) -> Look:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.status(request_id)

    async def result(self, request_id: str) -> Look:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.result(request_id)

    async def cancel(self, request_id: str) -> CancelOutcome:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.cancel(request_id)

    async def has_model(self, model: str) -> bool | None:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.has_model(model)

    async def _turn(self) -> None:
        self.waiting_s = self._rate.wait_s(self._clock.monotonic_s())
        if self.waiting_s:
            await self._clock.sleep(self.waiting_s)
