"""Sandbox pictures: small real PNGs that differ by prompt, so that a page of results looks real.

Each is a landscape in flat colours (sky, sun, hills), drawn from a hash. It has the size that the
input asks for; without one, the long side is 128 px, so that a run is quick. A tEXt chunk says that
no model made it.

Rows are drawn with slices, never pixel by pixel, which keeps a small picture under a millisecond.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from math import isqrt

LONG_SIDE_PX = 128
MAX_SIDE_PX = 8_192
"""A larger picture is drawn small."""
NOTE = "sandbox picture of batchgen, not made by a model"
SKY = 128
"""Palette entries of the sky; those of sun, halo and hills follow."""
HILL_COUNT = 5

_SIZE = re.compile(r"(\d{1,6})\s*[x×X]\s*(\d{1,6})")
_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")

_LARGE_BYTES = 1 << 18

Colour = tuple[int, int, int]
Disc = tuple[int, int, int, int]
"""Centre x, centre y, radius in px, palette entry."""

_SUNLIGHT: Colour = (255, 250, 232)

_MOODS: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((24, 32, 84), (214, 96, 110), (255, 205, 130), (40, 24, 66)),
    ((52, 120, 190), (150, 205, 230), (250, 240, 214), (28, 88, 84)),
    ((16, 20, 46), (46, 62, 124), (140, 130, 190), (12, 16, 34)),
    ((236, 130, 84), (250, 190, 120), (254, 236, 190), (120, 52, 58)),
    ((70, 160, 160), (168, 214, 190), (244, 240, 206), (32, 74, 92)),
    ((94, 60, 130), (220, 120, 170), (250, 200, 200), (58, 30, 88)),
)
"""Top of the sky, its middle, the horizon, and the nearest hill."""


def size_of(values: Mapping[str, object]) -> tuple[int, int]:
    """Return width and height in px for an input.

    They are what it asks for; if it asks for no size, its aspect ratio (or 1:1), long side 128.
    """
    wide, high = _ratio(values)
    if LONG_SIDE_PX < max(wide, high) <= MAX_SIDE_PX:
        return wide, high
    scale = LONG_SIDE_PX / max(wide, high)
    return max(1, round(wide * scale)), max(1, round(high * scale))


def _ratio(values: Mapping[str, object]) -> tuple[int, int]:
    wide, high = values.get("width"), values.get("height")
    if isinstance(wide, int) and isinstance(high, int) and wide > 0 and high > 0:
        return wide, high
    for key, pattern in (
        ("width×height", _SIZE), ("size", _SIZE), ("aspect_ratio", _RATIO), ("ratio", _RATIO)
    ):  # fmt: skip
        text = values.get(key)
        found = pattern.match(text) if isinstance(text, str) else None
        if found and int(found[1]) > 0 and int(found[2]) > 0:
            return int(found[1]), int(found[2])
    return 1, 1


def draw(key: str, width: int, height: int) -> bytes:
    """Return a PNG of `width` x `height` px, the same for the same key."""
    dice = blake2b(key.encode(), digest_size=32).digest()
    pixels = _rows(dice, width, height)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", header),
        _chunk(b"tEXt", b"Comment\0" + NOTE.encode("latin-1")),
        _chunk(b"PLTE", _palette(dice)),
        _chunk(b"IDAT", zlib.compress(pixels, 1 if len(pixels) > _LARGE_BYTES else 6)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _palette(dice: bytes) -> bytes:
    """Return the sky from top to horizon, then sun, halo and hills from far to near.

    The channels of a mood are shifted a little, so that few pictures share all colours.
    """
    mood = _MOODS[dice[0] % len(_MOODS)]
    half = SKY // 2
    colours = bytearray(3 * (SKY + 2 + HILL_COUNT))
    for channel in range(3):
        shift = dice[20 + channel] % 49 - 24
        a, b, c, d = (min(max(colour[channel] + shift, 0), 255) for colour in mood)
        sun = _SUNLIGHT[channel]
        ramp = [a + (b - a) * step // half for step in range(half)]
        ramp += [b + (c - b) * step // half for step in range(half)]
        ramp += [sun, (c + sun) // 2]
        ramp += [b + (d - b) * (2 + hill) // (1 + HILL_COUNT) for hill in range(HILL_COUNT)]
        colours[channel::3] = bytes(ramp)
    return bytes(colours)


def _rows(dice: bytes, width: int, height: int) -> bytes:
    """Return scanlines, each with its filter byte 0."""
    canvas = _sky(height, width, slant=8 + dice[1] % 32)
    for disc in _discs(dice, width, height):
        _fill(canvas, width, height, disc)
    return bytes(canvas)


def _sky(height: int, width: int, *, slant: int) -> bytearray:
    """Return a gradient downwards that is `slant` rows further on the right than on the left."""
    steps = height + slant
    ramp = bytes([step * SKY // steps for step in range(steps)]) + bytes(256)
    line = bytes([step * slant // width for step in range(width)])
    rows = [b"\0" + line.translate(ramp[y : y + 256]) for y in range(height)]
    return bytearray().join(rows)


def _fill(canvas: bytearray, width: int, height: int, disc: Disc) -> None:
    centre_x, centre_y, radius, colour = disc
    strip = bytes((colour,)) * width
    for y in range(max(0, centre_y - radius + 1), min(height, centre_y + radius)):
        half_width = isqrt(radius * radius - (y - centre_y) ** 2)
        left, right = max(0, centre_x - half_width), min(width, centre_x + half_width)
        if right > left:
            start = y * (width + 1) + 1
            canvas[start + left : start + right] = strip[left:right]


def _discs(dice: bytes, width: int, height: int) -> list[Disc]:
    """Return halo, sun and hills, from back to front."""
    small = min(width, height)
    sun_x = int(width * (0.15 + dice[2] / 365))
    sun_y = int(height * (0.16 + dice[3] / 850))
    radius = max(1, int(small * (0.08 + dice[4] / 2550)))
    discs = [(sun_x, sun_y, radius * 17 // 10, SKY + 1), (sun_x, sun_y, radius, SKY)]
    for hill in range(HILL_COUNT):
        first, second, third = dice[5 + 3 * hill : 8 + 3 * hill]
        hill_radius = int(max(width, height) * (0.35 + first / 400))
        top = int(height * (0.5 + 0.1 * hill + second / 2000))
        discs.append((width * third // 255, top + hill_radius, hill_radius, SKY + 2 + hill))
    return discs
