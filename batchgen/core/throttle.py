"""Throttling as pure arithmetic: the rate of calls, the backoff, the number of jobs in flight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import inf

MAX_RETRY_AFTER_S = 3600.0
"""A server is left alone for at most an hour, whatever it asks for."""


@dataclass(slots=True)
class RateLimiter:
    """At most `per_s` calls per second, evenly spaced (GCRA); None: no limit."""

    per_s: float | None
    _next_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Reserve the time of the next call; return the seconds from `now_s` until then."""
        if self.per_s is None:
            return 0.0
        start_s = max(now_s, self._next_s)
        self._next_s = start_s + 1 / self.per_s
        return start_s - now_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff; jitter spreads the upper half of each step."""

    first_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0

    def delay_s(self, failures: int, *, jitter: float, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait after `failures` failures in a row (from 1).

        `jitter` is a random number in [0, 1). The server's Retry-After is a lower bound, up to an
        hour.
        """
        step = self.first_s * self.factor ** min(max(failures, 1) - 1, 30)
        delay_s = min(step, self.max_s) * (0.5 + jitter / 2)
        return max(delay_s, min(retry_after_s, MAX_RETRY_AFTER_S)) if retry_after_s else delay_s


HEALTHY_S = 15.0
"""Time for which whoever has answered counts as healthy, whatever fails meanwhile."""
UNLUCKY_FAILURES = 5
"""More failures in a row than that are not bad luck: whoever answered is in trouble."""


@dataclass(slots=True)
class DeliveryHealth:
    """Whether files are delivered at present, by what became of all downloads of a run."""

    _failures: int = 0
    """Number of tries in a row, of any download, that brought nothing."""
    _delivered_at_s: float = -inf

    def delivered(self, now_s: float) -> None:
        """Note that a try brought something: that ends a series of failures."""
        self._failures = 0
        self._delivered_at_s = now_s

    def failed(self) -> None:
        """Note that a try brought nothing."""
        self._failures += 1

    def is_good(self, now_s: float) -> bool:
        """Tell whether a failure is bad luck, so that a long pause would be for nothing."""
        return self._failures <= UNLUCKY_FAILURES and now_s - self._delivered_at_s < HEALTHY_S


def read_retry_after(value: str | None, *, now_s: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; None without the header.

    It is a number of seconds or an HTTP date. One that cannot be read asks for 0 s: the header
    alone says that the server wants to be called again.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), MAX_RETRY_AFTER_S)
    moment_s = read_http_date_s(value)
    return 0.0 if moment_s is None else min(max(0.0, moment_s - now_s), MAX_RETRY_AFTER_S)


def read_http_date_s(value: str) -> float | None:
    """Return the moment of an HTTP date, in seconds since 1970; None if it is not a valid one."""
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


ROUND = 16
"""The window is adjusted after this many answers, or after as many as it is large."""


@dataclass(slots=True)
class ConcurrencyWindow:
    """The number of jobs that may be in flight: the cap, less what the API's rate limit takes off.

    Additive increase, multiplicative decrease, once for each round of answers. The decrease is in
    proportion to the share that was turned away (as in DCTCP): one refusal among many is no reason
    to halve, and a window that is far too large shrinks fast. It starts at the cap.
    """

    cap: int
    """The concurrency that the user allows; never exceeded."""
    _size: float = 0.0
    _answers: int = 0
    _turned_away: int = 0

    def __post_init__(self) -> None:
        self._size = float(self.cap)

    @property
    def size(self) -> int:
        """Jobs that may be in flight now; at least one."""
        return max(1, int(self._size))

    @property
    def narrowed(self) -> bool:
        """True if the API, and not the user, sets the limit now."""
        return self.size < self.cap

    def turned_away(self) -> None:
        """Count a submission that the API refused because of the rate."""
        self._turned_away += 1
        self._count()

    def accepted(self) -> None:
        """Count a submission that the API accepted."""
        self._count()

    def _count(self) -> None:
        self._answers += 1
        if self._answers < min(self.size, ROUND):
            return
        share = self._turned_away / self._answers
        grown = (1 - share) * self._answers / self._size
        self._size = min(max(1.0, self._size * (1 - share / 2) + grown), float(self.cap))
        self._answers = self._turned_away = 0
