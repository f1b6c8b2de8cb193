"""Whether the API can be reached at all, and for how long it has been silent."""

from __future__ import annotations

from batchgen.core.endings import StopReason
from batchgen.ports import Clock
from batchgen.runner.stopping import Stop


class Reach:
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
