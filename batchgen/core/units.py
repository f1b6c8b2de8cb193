"""Moments, durations, sizes and counts as text, and back to numbers. The time is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache


def timestamp(now_s: float) -> str:
    """Return the moment in UTC, like `2026-11-22T02:00:01.123Z`."""
    whole_s, rest_us = divmod(round(now_s * 1_000_000), 1_000_000)
    return f"{_second(whole_s)}.{rest_us // 1000:03d}Z"


@lru_cache(maxsize=16)  # a run writes hundreds of records within one second
def _second(whole_s: int) -> str:
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}"


def local_date(now_s: float) -> str:
    """Return the local date, like `2026-11-22`."""
    return f"{datetime.fromtimestamp(now_s).astimezone():%Y-%m-%d}"


def local_offset(now_s: float) -> str:
    """Return what local time is ahead of UTC, as `+01:00`."""
    text = datetime.fromtimestamp(now_s).astimezone().strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def seconds(text: str | None) -> float | None:
    """Return a moment of a ledger in seconds since 1970; None if it cannot be read."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def local_time(moment_s: float, *, now_s: float) -> str:
    """Return the local time, like `02:00` if it is today, or else `2026-11-21 02:00`."""
    moment = datetime.fromtimestamp(moment_s).astimezone()
    if local_date(moment_s) == local_date(now_s):
        return f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d %H:%M}"


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration_s(text: str) -> float:
    """Parse `20s`, `15m`, `6h`, `1h30m` or seconds. Raises ValueError with a sentence."""
    rest, total_s = text.strip().lower(), 0.0
    if not rest:
        raise ValueError("a duration is missing; write it like 20s, 15m or 6h")
    while rest:
        match = _DURATION.match(rest)
        if match is None:
            raise ValueError(f"{text!r} is not a duration; write it like 20s, 15m or 6h")
        total_s += float(match[1]) * _UNIT_S[match[2] or "s"]
        rest = rest[match.end() :].strip()
    return total_s


def duration_text(duration_s: float) -> str:
    """Return a duration like `850 ms`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if duration_s < 1:
        return f"{duration_s * 1000:.0f} ms"
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_text(size_bytes: int) -> str:
    """Return a size like `850 bytes`, `12.3 kB`, `4.0 MB`, `2.1 GB`."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    size = size_bytes / 1000
    for unit in ("kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def count_text(count: int, noun: str) -> str:
    """Return a count like `1 job`, `2 jobs`, `1,632 jobs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def is_text(text: str) -> bool:
    """Tell whether a string is text, and not in part the undecoded bytes of a file name."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def as_text(text: str) -> str:
    """Return a string with a replacement character for everything that is not text."""
    return text if is_text(text) else "".join(c if is_text(c) else "\ufffd" for c in text)
