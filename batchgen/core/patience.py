"""What to do where another run is at work in the same run directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from batchgen.core.errors import LockHeld
from batchgen.core.quantities import parse_duration_s


class Stance(Enum):
    """What to do where another is at work."""

    FAIL = "fail"
    SKIP = "skip"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class IfLocked:
    """`--if-locked`."""

    stance: Stance = Stance.FAIL
    wait_s: float = 0.0
    skip_code: int = LockHeld.exit_code
    """The exit code of a night that was skipped; a success only where that was said."""


AT_ONCE = IfLocked()
"""A second run is refused at once."""


def parse_if_locked(text: str) -> IfLocked:
    """`fail`, `skip`, `skip=0`, `wait=10m`. Raises ValueError with a sentence."""
    word, equals, value = text.strip().partition("=")
    if word == "wait" and equals:
        return IfLocked(stance=Stance.WAIT, wait_s=parse_duration_s(value))
    if text == "skip=0":
        return IfLocked(stance=Stance.SKIP, skip_code=0)
    if text in ("fail", "skip"):
        return IfLocked(stance=Stance(text))
    raise ValueError(f"{text!r} is none of fail, skip, skip=0 and wait=DURATION, as in wait=10m")
