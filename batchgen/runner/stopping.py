"""The reasons that a run has been given to stop, while it runs."""

from __future__ import annotations

from collections.abc import Callable

from batchgen.core.endings import EFFECTS, StopReason


class Stop:
    """Collects reasons; tells `wake` each time, so that whoever waits looks again."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.reasons: list[StopReason] = []
        self._wake = wake

    def request(self, reason: StopReason) -> None:
        """Give a reason to stop; the same one again changes nothing."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self._wake()

    @property
    def interrupted(self) -> bool:
        """Whether a signal was among the reasons."""
        return StopReason.SIGINT in self.reasons or StopReason.SIGTERM in self.reasons

    @property
    def submissions(self) -> bool:
        """Whether nothing may be submitted any more."""
        return bool(self.reasons)

    @property
    def looks(self) -> bool:
        """Whether polling has ended."""
        return any(EFFECTS[reason].looks for reason in self.reasons)

    @property
    def downloads(self) -> bool:
        """Whether downloading has ended."""
        return any(EFFECTS[reason].downloads for reason in self.reasons)
