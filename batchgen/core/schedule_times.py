"""The times and days at which a batch is scheduled."""

from __future__ import annotations

import re
from dataclasses import dataclass

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them: Sunday is 0."""
_TIME = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time of the day."""

    hour: int
    minute: int

    def __str__(self) -> str:
        return f"{self.hour:02d}:{self.minute:02d}"


def parse_clock_time(text: str) -> ClockTime:
    """Return the time that `02:30` means. Raises ValueError with a sentence."""
    match = _TIME.fullmatch(text.strip())
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"{text!r} is not a time of the day; write it like 02:30 (00:00 to 23:59)")
    return ClockTime(int(match[1]), int(match[2]))


def parse_days(text: str) -> tuple[int, ...]:
    """Return the days of `mon-fri`, `sat,sun` or `fri-mon`, from Sunday = 0, sorted.

    Raises ValueError with a sentence.
    """
    found: set[int] = set()
    for part in text.strip().lower().split(","):
        first, dash, last = (word.strip()[:3] for word in part.partition("-"))
        if part.strip() in ("daily", "*"):
            found.update(range(7))
        elif _is_day(part.partition("-")[0]) and (not dash or _is_day(part.partition("-")[2])):
            begin = DAYS.index(first)
            length = (DAYS.index(last) - begin) % 7 if dash else 0
            found.update((begin + n) % 7 for n in range(length + 1))
        else:
            raise ValueError(
                f"{part.strip()!r} is not a day; write them like mon-fri, or sat,sun"
                f" ({', '.join(DAYS)})"
            )
    return tuple(sorted(found))


def _is_day(word: str) -> bool:
    full = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
    return word.strip() in (*DAYS, *full)
