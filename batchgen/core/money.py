"""Budgets as people write them: `20`, `20/day`, `$300/month`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

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
