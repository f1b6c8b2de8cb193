"""One shared pause for all submissions after the API turned one away.

The remote side at the rate that the user allows: every call waits for its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.core.api_answers import CancelOutcome, PollAnswer, SubmitAnswer
from batchgen.core.jobs import JSONValue
from batchgen.core.throttle import Backoff, RateLimiter
from batchgen.ports import Clock, GenerationAPI


class SubmissionPause:
    """Closed for a while after a submission that was not accepted; longer each time in a row."""

    def __init__(self, clock: Clock, jitter: Callable[[], float], backoff: Backoff) -> None:
        self._clock = clock
        self._jitter = jitter
        self._backoff = backoff
        self._open_at_s = 0.0
        self._failures = 0

    @property
    def wait_s(self) -> float:
        """Seconds until submissions may go on; 0 when the gate is open."""
        return max(0.0, self._open_at_s - self._clock.monotonic_s())

    def turned_away(self, *, sent_at_s: float, retry_after_s: float | None) -> None:
        """Close the gate. What was sent before it last closed tells nothing new."""
        if sent_at_s >= self._open_at_s:
            self._failures += 1
        delay_s = self._backoff.delay_s(
            max(self._failures, 1), jitter=self._jitter(), retry_after_s=retry_after_s
        )
        self._open_at_s = max(self._open_at_s, self._clock.monotonic_s() + delay_s)

    def accepted(self) -> None:
        """The API takes jobs again."""
        self._failures = 0


class PacedAPI:
    """A `GenerationAPI` that starts at most so many calls a second, looks included."""

    def __init__(self, api: GenerationAPI, clock: Clock, per_s: float | None) -> None:
        self._api = api
        self._clock = clock
        self._rate = RateLimiter(per_s=per_s)
        self.waiting_s = 0.0
        """How long the last call had to wait for its place."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.submit(model, values)

    async def status(self, request_id: str) -> PollAnswer:
        """As the API does, in its turn."""
        await self._turn()
        return await self._api.status(request_id)

    async def result(self, request_id: str) -> PollAnswer:
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
