"""Throttling: the pause of all submissions after a 429 or 503, and the user's `--rate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.core.api_answers import CancelOutcome, PollAnswer, SubmitAnswer
from batchgen.core.json_reader import JSONValue
from batchgen.core.throttle import Backoff, RateLimiter
from batchgen.ports import Clock, GenerationAPI


class SubmissionPause:
    """One pause for all submissions; longer each time that one in a row is not accepted."""

    def __init__(self, clock: Clock, jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._backoff = Backoff(first_s=0.2)
        self._ends_at_s = 0.0
        self._failures = 0
        self._rejected_since_s: float | None = None

    @property
    def left_s(self) -> float:
        """Seconds until submissions may continue; 0 if there is no pause."""
        return max(0.0, self._ends_at_s - self._clock.monotonic_s())

    def begin(self, *, sent_at_s: float, retry_after_s: float | None) -> None:
        """Begin or prolong the pause, after a call that left at `sent_at_s`.

        A call that left before the last pause ended tells nothing new and does not lengthen the
        backoff.
        """
        if sent_at_s >= self._ends_at_s:
            self._failures += 1
        delay_s = self._backoff.delay_s(
            max(self._failures, 1), jitter=self._jitter(), retry_after_s=retry_after_s
        )
        self._ends_at_s = max(self._ends_at_s, self._clock.monotonic_s() + delay_s)

    def accepted(self) -> None:
        """Start the backoff again from its first step: the API accepted a job."""
        self._failures = 0

    def rejected(self, *, sent_at_s: float) -> float:
        """Note a submission that was rejected because of its rate.

        Return the time in seconds since the first of those that were so one after the other.
        """
        if self._rejected_since_s is None:
            self._rejected_since_s = sent_at_s
        return self._clock.monotonic_s() - self._rejected_since_s

    def not_rejected(self) -> None:
        """Note a submission that had another answer."""
        self._rejected_since_s = None


class PacedAPI:
    """A `GenerationAPI` whose calls, polls included, start at the rate that the user allows."""

    def __init__(self, api: GenerationAPI, clock: Clock, per_s: float) -> None:
        self._api = api
        self._clock = clock
        self._rate = RateLimiter(per_s=per_s)
        self.waited_s = 0.0
        """Time that the last call had to wait."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """Submit in turn."""
        await self._wait()
        return await self._api.submit(model, values)

    async def status(self, request_id: str) -> PollAnswer:
        """Ask for the status in turn."""
        await self._wait()
        return await self._api.status(request_id)

    async def result(self, request_id: str) -> PollAnswer:
        """Ask for the result in turn."""
        await self._wait()
        return await self._api.result(request_id)

    async def cancel(self, request_id: str) -> CancelOutcome:
        """Cancel in turn."""
        await self._wait()
        return await self._api.cancel(request_id)

    async def has_model(self, model: str) -> bool | None:
        """Ask the catalogue in turn."""
        await self._wait()
        return await self._api.has_model(model)

    async def accepts_token(self, model: str) -> bool | None:
        """Check the token in turn."""
        await self._wait()
        return await self._api.accepts_token(model)

    async def _wait(self) -> None:
        self.waited_s = self._rate.wait_s(self._clock.monotonic_s())
        if self.waited_s:
            await self._clock.sleep(self.waited_s)
