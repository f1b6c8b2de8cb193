"""How many failures are too many."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
