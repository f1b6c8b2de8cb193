"""The kinds of files that a page can show, by the ending of their names."""

from __future__ import annotations

MEDIA_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
    "gif": "image/gif", "avif": "image/avif", "bmp": "image/bmp", "svg": "image/svg+xml",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime",
    "mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac",
    "m4a": "audio/mp4",
}  # fmt: skip
"""All others can be saved only: as a document, an HTML, XML or PDF file would run without the
page's rules."""
DRAWING = "drawing"
"""The kind of a picture that may hold scripts: an image element runs none, so it is shown as one,
and never opened."""


def media_type(name: str) -> str | None:
    """Return the type of a file that can be shown; None for any other."""
    return MEDIA_TYPES.get(name.rpartition(".")[2].lower())


def kind_of_file(name: str) -> str:
    """Return `image`, `drawing`, `video`, `audio` or `file`."""
    found = media_type(name) or "file"
    return DRAWING if found == "image/svg+xml" else found.partition("/")[0]
