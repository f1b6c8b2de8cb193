"""Listening for the API after a lost answer, with calls that cost nothing.

Whether the API can be reached at all, and for how long it has been silent.
"""

from __future__ import annotations

from collections.abc import Callable

from batchgen.core.admission import Admission
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import Backoff
from batchgen.ports import Clock, GenerationAPI
from batchgen.runner.stopping import Stop


class Reachability:
    """Turns silence into a reason to stop: soon where nothing ever answered, late otherwise."""

    def __init__(
        self, clock: Clock, stop: Stop, *, wait_for_api_s: float, silence_s: float
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._wait_for_api_s = wait_for_api_s
        self._silence_s = silence_s
        self._heard_at_s = clock.monotonic_s()
        self._ever_heard = False

    def heard(self) -> None:
        """The API said something, whatever it was."""
        self._heard_at_s = self._clock.monotonic_s()
        self._ever_heard = True

    def silent(self) -> None:
        """A call got no answer."""
        silent_s = self._clock.monotonic_s() - self._heard_at_s
        if not self._ever_heard and silent_s >= self._wait_for_api_s:
            self._stop.request(StopReason.UNREACHABLE)
        elif self._ever_heard and silent_s >= self._silence_s:
            self._stop.request(StopReason.SILENT)


class OutageProbe:
    """One probe at a time, for as long as submissions are held."""

    def __init__(
        self,
        api: GenerationAPI,
        clock: Clock,
        admission: Admission,
        reach: Reachability,
        jitter: Callable[[], float],
    ) -> None:
        self._api = api
        self._clock = clock
        self._admission = admission
        self._reach = reach
        self._jitter = jitter
        self._backoff = Backoff(max_s=10.0)
        self._probing = False

    def begin(self) -> bool:
        """Whether a probe is to be started now."""
        fresh = not self._probing
        self._probing = True
        return fresh

    async def probe(self, model: str, on_heard: Callable[[], None]) -> None:
        """Ask the catalogue until it answers; then one job may go."""
        failures = 0
        while await self._api.has_model(model) is None:
            failures += 1
            self._reach.silent()
            await self._clock.sleep(self._backoff.delay_s(failures, jitter=self._jitter()))
        self._reach.heard()
        self._probing = False
        self._admission.api_answered()
        on_heard()
