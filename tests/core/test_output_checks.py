"""Findings: nothing is compared that was not asked for, and the later of two names the earlier."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.core.output_checks import Measure, SamePictures, findings, size_asked

PICTURE = Measure(width_px=1024, height_px=1024, picture_hash="0f" * 16, mean_colour=(9, 9, 9))


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"size": "2048x1024"}, (2048, 1024)), ({"resolution": "640 × 480"}, (640, 480)),
        ({"width": 64, "height": 32}, (64, 32)), ({"width×height": "30x12(21:9)"}, (30, 12)),
        ({"size": "2K"}, None), ({"resolution": "1080p"}, None), ({}, None),
        ({"width": 64}, None), ({"width": True, "height": 3}, None), ({"size": 7}, None),
    ],
)  # fmt: skip
def test_only_a_size_that_was_asked_for_is_compared(
    given: dict[str, Any], asked: tuple[int, int] | None
) -> None:
    """In the ways in which models take one."""
    assert size_asked(given) == asked
    said = list(findings(PICTURE, given, None))
    assert said == ([f"size 1024x1024, asked {asked[0]}x{asked[1]}"] if asked else [])


def test_what_was_not_decoded_has_no_finding() -> None:
    """Whatever was asked for."""
    assert list(findings(Measure(), {"size": "1x1", "duration": 5, "audio": True}, None)) == []


@pytest.mark.parametrize(
    ("measure", "given", "said"),
    [
        (Measure(duration_s=4.9), {"duration": 5}, []),
        (Measure(duration_s=3.0), {"duration": "5s"}, ["shorter than asked"]),
        (Measure(duration_s=3.0), {"duration": 5}, ["shorter than asked"]),
        (Measure(duration_s=3.0), {}, []),
        (Measure(has_video=True, is_silent=True), {}, []),
        (Measure(has_video=True, is_silent=True), {"generate_audio": True}, ["silent"]),
        (Measure(is_silent=True), {}, ["silent"]),
        (Measure(is_blank=True, width_px=1, height_px=1), {}, ["blank"]),
    ],
)
def test_clips_and_blank_pictures(measure: Measure, given: dict[str, Any], said: list[str]) -> None:
    """A clip without sound is silent only if sound was asked for."""
    assert list(findings(measure, given, None)) == said


def test_the_later_of_two_equal_pictures_names_the_earlier() -> None:
    """By the digest, or nearly by the hash; blank pictures and other colours are not alike."""
    seen = SamePictures()
    near = Measure(picture_hash=f"{int('0f' * 16, 16) ^ 0b1011:032x}", mean_colour=(12, 9, 9))
    other = Measure(picture_hash="0f" * 16, mean_colour=(200, 9, 9))
    blank = Measure(picture_hash="0" * 32, is_blank=True)

    assert seen.earlier("a", "1", PICTURE) is None
    assert seen.earlier("b", "2", near) == "a"
    assert seen.earlier("c", "1", Measure()) == "a"
    assert seen.earlier("d", "3", other) is None
    assert seen.earlier("e", "4", blank) is None
    assert seen.earlier("f", "5", blank) is None
    assert seen.earlier("a", "6", PICTURE) is None
