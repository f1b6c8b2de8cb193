"""How many failures are too many.

Budgets as people write them: `20`, `20/day`, `$300/month`.

What to do where another run is at work in the same run directory.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum, StrEnum

from batchgen.core.errors import LockHeld
from batchgen.core.units import parse_duration_s


@dataclass(frozen=True, slots=True)
class Failures:
    """How many failures end a run: a count, or a share of its jobs."""

    count: int = 0
    share: float = 0.0

    def of(self, jobs: int) -> int:
        """The number that is too many for so many jobs; at least one."""
        return max(1, self.count or math.ceil(jobs * self.share))


def parse_failures(text: str) -> Failures:
    """`20` or `5%`. Raises ValueError with a sentence."""
    number = text.strip().removesuffix("%")
    if number.isascii() and number.isdecimal() and int(number) >= 1:
        value = int(number)
        return Failures(share=value / 100) if text.strip().endswith("%") else Failures(count=value)
    raise ValueError(f"{text!r} is no number of failures; write it like 20 or 5%")


_AMOUNT = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*(?:usd)?\s*(?:/\s*(run|day|month))?", re.IGNORECASE)


class Period(StrEnum):
    """What a budget is for."""

    RUN = "run"
    """This run directory, over all its runs."""
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Allowance:
    """A limit and what it is for."""

    usd: float
    period: Period

    @property
    def name(self) -> str:
        """For people."""
        names = {Period.RUN: "this batch", Period.DAY: "today", Period.MONTH: "this month"}
        return names[self.period]


def parse_allowance(text: str) -> Allowance:
    """Raises ValueError with a sentence."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no budget; write it like 20, 20/day or 300/month (USD)")
    return Allowance(float(match[1]), Period((match[2] or "run").lower()))


class LockedAction(Enum):
    """What to do where another is at work."""

    FAIL = "fail"
    SKIP = "skip"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class IfLocked:
    """`--if-locked`."""

    stance: LockedAction = LockedAction.FAIL
    wait_s: float = 0.0
    skip_code: int = LockHeld.exit_code
    """The exit code of a night that was skipped; a success only where that was said."""


AT_ONCE = IfLocked()
"""A second run is refused at once."""


def parse_if_locked(text: str) -> IfLocked:
    """`fail`, `skip`, `skip=0`, `wait=10m`. Raises ValueError with a sentence."""
    word, equals, value = text.strip().partition("=")
    if word == "wait" and equals:
        return IfLocked(stance=LockedAction.WAIT, wait_s=parse_duration_s(value))
    if text == "skip=0":
        return IfLocked(stance=LockedAction.SKIP, skip_code=0)
    if text in ("fail", "skip"):
        return IfLocked(stance=LockedAction(text))
    raise ValueError(f"{text!r} is none of fail, skip, skip=0 and wait=DURATION, as in wait=10m")
