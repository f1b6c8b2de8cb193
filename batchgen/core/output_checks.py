"""Findings about the bytes of outputs: blank, another size than asked, the same picture twice.

A finding is something to look at. It changes no state and leads to no submission.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

SAME_BITS = 4
"""Pictures whose hashes differ in no more bits are the same to the eye."""
SAME_COLOUR = 10
"""...if their mean colours differ by no more than this, of 255, in each channel."""
SHORT_S = 0.5
"""A clip may be so much shorter than asked: encoders cut at a frame."""


class Measure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The measurements of one file. All are empty if it could not be decoded."""

    width_px: int = 0
    height_px: int = 0
    is_blank: bool = False
    """True if the picture is of one colour."""
    picture_hash: str = ""
    """The perceptual hash: 128 bits in hexadecimal."""
    mean_colour: tuple[int, ...] = ()
    duration_s: float | None = None
    has_video: bool = False
    is_silent: bool | None = None
    """True for a clip without sound or a sound of zeros; None if the container does not say."""


_SIZE = re.compile(r"\s*(\d{2,5})\s*[xX×*]\s*(\d{2,5})\s*(\(\d+:\d+\))?\s*")
"""Dreamina's own form is `3024x1296(21:9)`."""
_SIZE_KEYS = ("width×height", "size", "resolution", "image_size")
_SOUND_KEYS = ("audio", "sound", "generate_audio", "enable_audio", "with_audio")


def size_asked(given: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the width and height in pixels that an input asks for; None if it asks for none."""
    for key in _SIZE_KEYS:
        value = given.get(key)
        if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
            return int(found[1]), int(found[2])
    width, height = given.get("width"), given.get("height")
    if type(width) is int and type(height) is int:
        return width, height
    return None


def duration_asked_s(given: Mapping[str, Any]) -> float | None:
    """Return the length in seconds that an input asks for; None if it asks for none."""
    value = given.get("duration", given.get("audio_duration"))
    if isinstance(value, str):
        value = value.removesuffix("s").strip()
        value = float(value) if re.fullmatch(r"\d{1,5}(\.\d+)?", value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value is not None and 0 < value < 1e5 else None


def sound_is_asked(given: Mapping[str, Any]) -> bool:
    """Tell whether an input asks for a clip with sound."""
    return any(given.get(key) is True for key in _SOUND_KEYS)


class SamePictures:
    """The pictures that were seen so far, found again by hash in constant time."""

    def __init__(self) -> None:
        self._by_digest: dict[str, str] = {}
        self._by_band: dict[tuple[int, int], list[tuple[int, tuple[int, ...], str]]] = {}

    def earlier(self, job: str, sha256: str, measure: Measure) -> str | None:
        """Return the job that has this picture already; remember it if none has."""
        if (found := self._by_digest.setdefault(sha256, job) if sha256 else job) != job:
            return found
        if not measure.picture_hash or measure.is_blank:
            return None
        bits = int(measure.picture_hash, 16)
        # Hashes that differ in at most four bits agree in at least four of eight bands.
        bands = [(n, bits >> (16 * n) & 0xFFFF) for n in range(8)]
        for band in bands:
            for other, colour, name in self._by_band.get(band, ()):
                is_near = (bits ^ other).bit_count() <= SAME_BITS
                if name != job and is_near and _is_same_colour(colour, measure.mean_colour):
                    return name
        for band in bands:
            seen = self._by_band.setdefault(band, [])
            if len(seen) < _MAX_PER_BAND:
                seen.append((bits, measure.mean_colour, job))
        return None


_MAX_PER_BAND = 64
"""Pictures with a plain area share bands; without a limit, a batch of them takes quadratic time."""


def _is_same_colour(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(abs(a - b) <= SAME_COLOUR for a, b in zip(one, other, strict=False))


def findings(measure: Measure, given: Mapping[str, Any], same_as: str | None) -> Iterator[str]:
    """Yield what is to be said of one file, in the words of the results."""
    if measure.is_blank:
        yield "blank"
    size, asked = (measure.width_px, measure.height_px), size_asked(given)
    if measure.width_px and asked is not None and size != asked:
        yield f"size {size[0]}x{size[1]}, asked {asked[0]}x{asked[1]}"
    if same_as is not None:
        yield f"same picture as {same_as}"
    if measure.is_silent and (sound_is_asked(given) or not measure.has_video):
        yield "silent"
    wanted_s = duration_asked_s(given)
    if wanted_s is None or measure.duration_s is None:
        return
    if measure.duration_s < wanted_s - max(SHORT_S, wanted_s / 20):
        yield "shorter than asked"
