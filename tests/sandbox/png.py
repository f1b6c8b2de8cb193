"""An independent PNG decoder, strict about signature, CRCs, lengths, row filters."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


@dataclass
class Png:
    """A decoded palette picture."""

    width: int
    height: int
    rows: list[bytes]
    """RGB, three bytes a pixel."""
    text: str


def decode(data: bytes) -> Png:
    """Raises AssertionError for anything that a strict viewer would not show."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = [], 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert len(body) == size
        (crc,) = struct.unpack_from(">I", data, place + 8 + size)
        assert crc == zlib.crc32(name + body)
        chunks.append((name, body))
        place += size + 12
    names = [name for name, _ in chunks]
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"
    assert names.index(b"PLTE") < names.index(b"IDAT")
    parts = dict(chunks)
    width, height, depth, colour, packing, filtering, lacing = struct.unpack(
        ">IIBBBBB", parts[b"IHDR"]
    )
    assert (depth, colour, packing, filtering, lacing) == (8, 3, 0, 0, 0)
    palette = parts[b"PLTE"]
    assert len(palette) % 3 == 0
    assert len(palette) <= 768
    raw = zlib.decompress(parts[b"IDAT"])
    assert len(raw) == height * (width + 1)
    rows = []
    for y in range(height):
        row = raw[y * (width + 1) : (y + 1) * (width + 1)]
        assert row[0] == 0
        assert max(row[1:]) < len(palette) // 3
        rows.append(b"".join(palette[3 * index : 3 * index + 3] for index in row[1:]))
    return Png(width, height, rows, parts[b"tEXt"].decode("latin-1"))
