"""How a moment is written and read: UTC, RFC 3339. Pure; the time itself comes from outside."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(now_s: float) -> str:
    """`2026-11-22T02:00:01.123Z`."""
    moment = datetime.fromtimestamp(now_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def local_date(now_s: float) -> str:
    """`2026-11-22`, by the clock on the wall."""
    return f"{datetime.fromtimestamp(now_s).astimezone():%Y-%m-%d}"


def seconds(text: str | None) -> float | None:
    """Seconds since 1970 of a moment in a ledger; None where it cannot be read."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def local_time(moment_s: float, *, now_s: float) -> str:
    """`02:00` of a moment today, else `2026-11-21 02:00`, by the clock on the wall."""
    moment = datetime.fromtimestamp(moment_s).astimezone()
    if local_date(moment_s) == local_date(now_s):
        return f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d %H:%M}"
