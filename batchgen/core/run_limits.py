"""Values that limit a run, from the text of a flag or of a manifest's `run:` key.

A parser returns the value, or raises ValueError with a sentence that says what would be right.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum
from urllib.parse import urlsplit

from batchgen.core.errors import LockHeld
from batchgen.core.units import parse_duration_s


def parse_whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if text.isascii() and text.isdecimal() and int(text) >= 1:
        return int(text)
    raise ValueError(f"{text!r} is not a whole number of at least 1")


def parse_amount(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r} is not a number above 0")
    return value


def parse_switch(text: str) -> bool:
    """Return true or false, in the spellings of YAML."""
    word = text.casefold()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


@dataclass(frozen=True, slots=True)
class OneOf:
    """The parser of a value that is one of a few words."""

    choices: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """Return the text if it is one of them."""
        if text in self.choices:
            return text
        raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")


def parse_pair(text: str) -> tuple[str, str]:
    """Return key and value of `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not of the form KEY=VALUE")
    return key.strip(), value


BUCKETS = ("s3", "gs", "az")
"""Schemes of object stores."""


def parse_bucket(text: str) -> str:
    """Return the address of a place in an object store."""
    if fault := bucket_fault(text.strip()):
        raise ValueError(fault)
    return text.strip()


def bucket_fault(text: str) -> str:
    """Return why an address is not a place in an object store; empty if it is."""
    place = urlsplit(text)
    if place.scheme not in BUCKETS:
        ways = ", ".join(f"{scheme}://" for scheme in BUCKETS)
        return f"{text!r} is not a place for files; give a bucket as {ways} with its name"
    if place.query or place.fragment or "@" in place.netloc:
        return "more than bucket and prefix; credentials and settings come from the environment"
    if not place.netloc:
        return f"{text!r} names no bucket; write it like {place.scheme}://bucket/prefix"
    return ""


def parse_column(text: str) -> str:
    """Return the name of a column."""
    if text.strip():
        return text.strip()
    raise ValueError(f"{text!r} is not the name of a column")


def parse_date(text: str) -> str:
    """Return a date like `2026-11-22`."""
    with suppress(ValueError):
        if date.fromisoformat(text).isoformat() == text:
            return text
    raise ValueError(f"{text!r} is not a date; write it like 2026-11-22")


@dataclass(frozen=True, slots=True)
class Failures:
    """How many failures end a run: a count, or a share of its jobs."""

    count: int = 0
    share: float = 0.0

    def of(self, jobs: int) -> int:
        """Return the number of failures that ends a run of so many jobs; at least one."""
        return max(1, self.count or math.ceil(jobs * self.share))


def parse_failures(text: str) -> Failures:
    """Return the limit that `20` or `5%` means."""
    number = text.strip().removesuffix("%")
    if number.isascii() and number.isdecimal() and int(number) >= 1:
        value = int(number)
        return Failures(share=value / 100) if text.strip().endswith("%") else Failures(count=value)
    raise ValueError(f"{text!r} is not a number of failures; write it like 20 or 5%")


_BUDGET = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*(?:usd)?\s*(?:/\s*(run|day|month))?", re.IGNORECASE)


class Period(StrEnum):
    """The time that a budget covers."""

    RUN = "run"
    """This run directory, over all its runs."""
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget as the user gives it: an amount and the time it covers."""

    usd: float
    period: Period

    @property
    def name(self) -> str:
        """The time it covers, for messages."""
        names = {Period.RUN: "this batch", Period.DAY: "today", Period.MONTH: "this month"}
        return names[self.period]


def parse_allowance(text: str) -> Allowance:
    """Return the budget that `20`, `20/day` or `$300/month` means."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a budget; write it like 20, 20/day or 300/month (USD)")
    return Allowance(float(match[1]), Period((match[2] or "run").lower()))


@dataclass(frozen=True, slots=True)
class ColumnAllowance:
    """A budget that each value of a column has for itself."""

    column: str
    each: Allowance


def parse_column_allowance(text: str) -> ColumnAllowance:
    """Return the budgets that `client=20/month` means."""
    column, equals, amount = text.rpartition("=")
    if not equals or not column.strip():
        raise ValueError(f"{text!r} is not of the form COLUMN=USD; write it like client=20/month")
    return ColumnAllowance(column.strip(), parse_allowance(amount))


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(k|m|g)?b?", re.IGNORECASE)
_UNIT_BYTES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def parse_size_bytes(text: str) -> int:
    """Return the bytes that `10MB` or `500kB` means."""
    match = _SIZE.fullmatch(text.strip())
    size_bytes = (
        0 if match is None else int(float(match[1]) * _UNIT_BYTES[(match[2] or "").lower()])
    )
    if size_bytes < 1_000:
        raise ValueError(f"{text!r} is not a size of at least 1kB; write it like 10MB")
    return size_bytes


class LockedAction(Enum):
    """What to do if another run has locked the run directory."""

    FAIL = "fail"
    SKIP = "skip"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class IfLocked:
    """The value of `--if-locked`."""

    action: LockedAction = LockedAction.FAIL
    wait_s: float = 0.0
    skip_code: int = LockHeld.exit_code
    """The exit code of a run that was skipped; 0 only if the user asked for that."""


def parse_if_locked(text: str) -> IfLocked:
    """Return what `fail`, `skip`, `skip=0` or `wait=10m` means."""
    word, equals, value = text.strip().partition("=")
    if word == "wait" and equals:
        return IfLocked(action=LockedAction.WAIT, wait_s=parse_duration_s(value))
    if text == "skip=0":
        return IfLocked(action=LockedAction.SKIP, skip_code=0)
    if text in ("fail", "skip"):
        return IfLocked(action=LockedAction(text))
    raise ValueError(f"{text!r} is not one of fail, skip, skip=0 and wait=DURATION, as in wait=10m")
