"""Formats of files by their first bytes."""

from __future__ import annotations

SNIFF_BYTES = 1024
"""Bytes of a file that are read for this."""

_BY_START: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"ID3", "mp3"),
    (b"\xff\xfb", "mp3"),
    (b"\xff\xf3", "mp3"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"PK\x03\x04", "zip"),
    (b"glTF", "glb"),
)
_BY_RIFF = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}
_BY_BRAND = {b"avif": "avif", b"heic": "heic", b"M4A ": "m4a", b"qt  ": "mov"}


def extension_of(start: bytes) -> str | None:
    """Return the extension of a known format, without a dot; None for any other."""
    for magic, name in _BY_START:
        if start.startswith(magic):
            return name
    if start.startswith(b"RIFF"):
        return _BY_RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BY_BRAND.get(start[8:12], "mp4")
    return None
