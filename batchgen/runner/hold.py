"""Listening for the API after a lost answer, with calls that cost nothing."""

from __future__ import annotations

from collections.abc import Callable

from batchgen.core.admission import Admission
from batchgen.core.retry import Backoff
from batchgen.ports import Clock, GenerationAPI
from batchgen.runner.reach import Reach


class Hold:
    """One probe at a time, for as long as submissions are held."""

    def __init__(
        self,
        api: GenerationAPI,
        clock: Clock,
        admission: Admission,
        reach: Reach,
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
        self._admission.heard()
        on_heard()
