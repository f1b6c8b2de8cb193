"""What is left, at the pace of the last jobs."""

from __future__ import annotations

import pytest

from batchgen.core.summary import eta_s


@pytest.mark.parametrize(
    ("ended", "left", "expected_s"),
    [
        ([], 5, None),
        ([100.0], 5, None),
        ([90.0, 100.0], 0, None),
        ([80.0, 90.0, 100.0], 6, 40.0),
        ([float(n) for n in range(-900, 101)], 10, 9.9),
        ([-2000.0, -1990.0], 5, None),
    ],
)
def test_eta(ended: list[float], left: int, expected_s: float | None) -> None:
    """From the last hundred ends; nothing while nothing ends."""
    assert eta_s(ended, left, now_s=100.0) == (
        None if expected_s is None else pytest.approx(expected_s)
    )
