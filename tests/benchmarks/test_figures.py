"""The table of benchmark figures: text and JSON say the same, and whether a target is met."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figures import Figure, line_of


@pytest.mark.parametrize(
    ("values", "at_least", "met"),
    [
        ((0.8, 0.95, 1.0), True, True),
        ((0.8, 0.85, 1.0), True, False),
        ((0.8, 0.85, 1.0), False, True),
        ((0.8, 0.95, 1.0), False, False),
    ],
)
def test_the_median_decides(values: tuple[float, ...], at_least: bool, met: bool) -> None:
    """One lucky or unlucky round changes nothing."""
    figure = Figure("speed", "a loop", values, 0.9, at_least=at_least)

    assert figure.is_met is met
    assert (" ! " in line_of(figure)) is not met


def test_text_and_json_say_the_same(tmp_path: Path) -> None:
    """The whole way for one bench, as `make bench` goes it."""
    found = tmp_path / "figures.json"

    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "start",
         "--json", str(found)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    rows = json.loads(found.read_bytes())
    lines = done.stdout.splitlines()[1:]
    assert len(rows) == len(lines) == 3
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(f"{row['name']} ({row['unit']})")
        assert f"{row['median']:.2f}" in line
        assert row["minimum"] <= row["median"] <= row["maximum"]
