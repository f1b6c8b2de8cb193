"""A check of PNG files that shares no code with the package."""

from __future__ import annotations

import zlib


def is_whole_png(data: bytes) -> bool:
    """Return whether every chunk has a good checksum, to the end."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    at, kind = 8, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        if zlib.crc32(kind + body) != int.from_bytes(data[at + 8 + size : at + 12 + size], "big"):
            return False
        at += 12 + size
    return kind == b"IEND"
