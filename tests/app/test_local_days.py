"""Budgets of a day and a month where days have 23 and 25 hours, and over midnight."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest

from batchgen.core.units import seconds
from tests.app.test_decisions import Batch, outputs_in_memory

CHANGES = [
    ("Europe/Berlin", "2027-03-28"),
    ("Europe/Berlin", "2027-10-31"),
    ("America/New_York", "2027-11-07"),
    ("Australia/Lord_Howe", "2027-04-04"),
    ("Asia/Kathmandu", "2027-12-31"),
]


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    """A batch whose outputs are stored in memory."""
    with outputs_in_memory() as disk:
        yield Batch(tmp_path, disk)


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> Iterator[ZoneInfo]:
    """The time zone of the process."""
    name: str = request.param
    with patch.dict(os.environ, TZ=name):
        time.tzset()
        yield ZoneInfo(name)
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "day"),
    [CHANGES[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in CHANGES[1:])],
    indirect=["zone"],
    ids=str,
)
@pytest.mark.parametrize("period", ["day", pytest.param("month", marks=pytest.mark.slow)])
def test_a_budget_holds_by_the_local_date(
    batch: Batch, zone: ZoneInfo, day: str, period: str
) -> None:
    """A run at each half hour around the change: two jobs on each local date (or month), no more.

    Both of the hours that are called 02:30 belong to the same day.
    """
    batch.cost(0.03)
    batch.rows(**{f"j{n}": f"text {n}" for n in range(20)})
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    batch.world.sleep(midnight.timestamp() - 5 * 3600 - batch.world.context.clock.now_s())
    for _ in range(2 * 36):
        batch.run("--max-cost", f"0.06/{period}", "--quiet")
        batch.world.sleep(1800)

    length = 10 if period == "day" else 7
    dates = [
        f"{datetime.fromtimestamp(seconds(line['ts']) or 0.0, zone):%Y-%m-%d}"[:length]
        for line in batch.lines()
        if line["state"] == "submitting"
    ]
    seen = {f"{midnight + timedelta(days=n):%Y-%m-%d}"[:length] for n in (-1, 0, 1)}
    assert Counter(dates) == dict.fromkeys(seen, 2)
