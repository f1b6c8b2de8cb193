"""The output files of finished jobs: made when asked for, and served with byte ranges.

Nothing is stored: the same job always gives the same bytes. Image models give PNGs, audio models
a second of silence as WAV. Video models give a PNG as well: no video can be made without an
encoder, and nothing that only claims to be one is served.
"""

from __future__ import annotations

import io
import re
import struct
import wave
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b

from batchgen.sandbox.http_answer import Answer
from batchgen.sandbox.pictures import draw, size_of

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PNG_HEADER_BYTES = 33
"""Up to the end of the header chunk."""


@dataclass(frozen=True, slots=True)
class File:
    """One output."""

    content: bytes
    content_type: str
    etag: str


def output_file(kind: str, key: str, values: Mapping[str, object]) -> File:
    """Return the output of a kind of model for an input; another key gives another picture."""
    return _silence() if kind == "audio" else _picture(key, *size_of(values))


def serve(file: File, headers: Mapping[str, str]) -> Answer:
    """Return the answer to a GET, with one byte range if one is asked for and still valid."""
    common = {"ETag": file.etag, "Accept-Ranges": "bytes"}
    whole = Answer(200, file.content, file.content_type, common)
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    if found is None or found[1] == found[2] == "":
        return whole
    if headers.get("If-Range", file.etag) != file.etag:
        return whole
    size = len(file.content)
    start, stop = _span(found[1], found[2], size)
    if start >= min(stop, size):
        return Answer(416, b"", file.content_type, {**common, "Content-Range": f"bytes */{size}"})
    part = {**common, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(206, file.content[start:stop], file.content_type, part)


def remade(file: File) -> File:
    """Return another good file that cannot be joined with parts of the first one.

    A text chunk early in a PNG moves the rest of it, so that a joined picture does not decode.
    """
    text = b"tEXtComment\x00made again"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    is_png = file.content.startswith(b"\x89PNG")
    at = _PNG_HEADER_BYTES if is_png else len(file.content)
    return _file(file.content[:at] + chunk + file.content[at:], file.content_type)


def _file(content: bytes, content_type: str) -> File:
    return File(content, content_type, f'"{blake2b(content, digest_size=8).hexdigest()}"')


@lru_cache(maxsize=256)
def _picture(key: str, width: int, height: int) -> File:
    return _file(draw(key, width, height), "image/png")


@cache
def _silence() -> File:
    """Return a second of silence, 8 kHz, mono, 8 bit."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000)
    return _file(buffer.getvalue(), "audio/wav")


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """Return start and end (excluded) of `first-last`, `first-` or `-suffix`."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size
