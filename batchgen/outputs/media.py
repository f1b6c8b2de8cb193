"""What a downloaded file is, by its first bytes, else by what the server calls it.

Only what decides an extension or gives away that the file is no output at all.
"""

from __future__ import annotations

SNIFF_BYTES = 64
"""How much of a file is looked at."""

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

_BY_TYPE = {
    "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif",
    "image/avif": "avif", "image/svg+xml": "svg", "image/bmp": "bmp", "image/tiff": "tif",
    "video/mp4": "mp4", "video/webm": "webm", "video/quicktime": "mov",
    "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/flac": "flac",
    "audio/ogg": "ogg", "audio/mp4": "m4a", "model/gltf-binary": "glb",
    "application/zip": "zip", "application/json": "json", "text/plain": "txt",
}  # fmt: skip

FALLBACK = "bin"


def extension(start: bytes, content_type: str) -> str:
    """Without a dot. The bytes are believed before the server, the URL never."""
    return _by_bytes(start) or _BY_TYPE.get(content_type.lower(), FALLBACK)


def is_web_page(start: bytes, content_type: str) -> bool:
    """Whether this is an error page that was served in place of a file."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    looks_like = text.startswith((b"<!doctype html", b"<html"))
    return looks_like or (content_type.lower() == "text/html" and not _by_bytes(start))


def _by_bytes(start: bytes) -> str | None:
    for magic, name in _BY_START:
        if start.startswith(magic):
            return name
    if start.startswith(b"RIFF"):
        return _BY_RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BY_BRAND.get(start[8:12], "mp4")
    return None
