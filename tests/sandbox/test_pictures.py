"""Sandbox pictures: real PNGs of the asked shape, small, quick, and never two alike."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.sandbox.pictures import draw, size_of

from .png import decode


@given(key=st.text(max_size=40), width=st.integers(1, 128), height=st.integers(1, 128))
@settings(max_examples=60, deadline=None)
def test_every_picture_decodes(key: str, width: int, height: int) -> None:
    """Any key and size gives a PNG that a strict decoder reads, labelled as made by no model."""
    picture = decode(draw(key, width, height))
    assert (picture.width, picture.height) == (width, height)
    assert "sandbox picture" in picture.text


def test_pictures_differ_and_repeat() -> None:
    """Another key gives another picture, the same key the same bytes."""
    drawn = [draw(f"prompt {number}", 128, 72) for number in range(300)]
    assert len(set(drawn)) == 300
    assert draw("prompt 7", 128, 72) == drawn[7]


def test_pictures_are_alive_and_small() -> None:
    """No flat squares, a few KB at most, and quick enough to be drawn for every download."""
    begin = time.process_time()
    drawn = [draw(f"prompt {number}", 128, 128) for number in range(50)]
    # Half a millisecond each where this was written; ten is what a walk over pixels would take.
    assert time.process_time() - begin < 50 * 0.01
    for data in drawn:
        picture = decode(data)
        colours = {row[place : place + 3] for row in picture.rows for place in range(0, 384, 3)}
        assert len(colours) > 40
        assert len(data) < 4096


@pytest.mark.parametrize(
    ("values", "ratio"),
    [
        ({"width×height": "2560x1440(16:9)"}, 16 / 9),
        ({"width×height": "3024x1296(21:9)"}, 3024 / 1296),
        ({"aspect_ratio": "9:16"}, 9 / 16),
        ({"ratio": "4:3"}, 4 / 3),
        ({"aspect_ratio": "8:1"}, 8),
        ({"aspect_ratio": "auto"}, 1),
        ({"width": 1536, "height": 512}, 3),
        ({"size": "1024 x 2048"}, 0.5),
        ({"aspect_ratio": "0:0"}, 1),
        ({"width": 0, "height": "tall"}, 1),
        ({}, 1),
    ],
)
def test_the_shape_is_the_asked_one(values: dict[str, Any], ratio: float) -> None:
    """A size is drawn as it was asked for; a ratio alone with a long side of 128 px."""
    width, height = size_of(values)
    sizes = {16 / 9: 2560, 3024 / 1296: 3024, 3: 1536, 0.5: 2048}
    assert max(width, height) == sizes.get(ratio, 128)
    assert width / height == pytest.approx(ratio, rel=0.04)
