"""How many jobs may be in flight: the cap, less what the API's rate limit takes off it.

Additive increase, multiplicative decrease, as congestion control does it: a turned-away
submission halves the window, each accepted one gives a little back, and the cap is where it
starts and ends. In numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Window:
    """Starts open to the cap."""

    cap: int
    """What the user allows; never exceeded."""
    _size: float = 0.0

    def __post_init__(self) -> None:
        self._size = float(self.cap)

    @property
    def size(self) -> int:
        """Jobs that may be in flight now; at least one."""
        return max(1, int(self._size))

    @property
    def narrowed(self) -> bool:
        """Whether the API, and not the user, is what limits now."""
        return self.size < self.cap

    def turned_away(self, in_flight: int) -> None:
        """The API refused for its rate. `in_flight` is what it had when it did, if fewer."""
        self._size = max(1.0, min(self._size, float(in_flight)) / 2)

    def accepted(self) -> None:
        """One more job was taken: about one slot more for each window full of them."""
        self._size = min(float(self.cap), self._size + 1 / max(1.0, self._size))
