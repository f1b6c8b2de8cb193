"""The files that finished jobs point to, and the route that serves them.

Nothing is kept: a file is drawn when it is asked for, always the same bytes for the same job.
Image models give PNGs, audio models a second of silence as WAV. Video models give a PNG as well:
no video can be made without an encoder, and nothing that only calls itself one is served.
"""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b

from batchgen.sandbox.answers import Answer, gateway_error
from batchgen.sandbox.pictures import draw, size_of
from batchgen.sandbox.requests import Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class File:
    """One output, whole."""

    content: bytes
    content_type: str
    etag: str


def output_of(request: Request, base: str) -> dict[str, object]:
    """The `output` of a good result: one URL under `image`, several under `images`, and so on."""
    suffix = "wav" if request.model.kind == "audio" else "png"
    urls = [
        f"{base}/files/{request.request_id}/{index}.{suffix}"
        for index in range(1, request.outputs + 1)
    ]
    kind = request.model.kind
    plural = "audios" if kind == "audio" else f"{kind}s"
    return {kind: urls[0]} if len(urls) == 1 else {plural: urls}


def file_of(request: Request, name: str) -> File | None:
    """The output of a job under its name in the URL (`1.png`); None where there is none."""
    number, _, suffix = name.partition(".")
    if not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= request.outputs:
        return None
    if request.model.kind == "audio":
        return _file(_silence(), "audio/wav") if suffix == "wav" else None
    if suffix != "png":
        return None
    key = f"{request.digest}/{request.attempt}/{int(number)}"
    return _picture(key, *size_of(request.values))


@lru_cache(maxsize=256)
def _picture(key: str, width: int, height: int) -> File:
    return _file(draw(key, width, height), "image/png")


@cache
def _silence() -> bytes:
    """A second of silence, 8 kHz, mono, 8 bit."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000)
    return buffer.getvalue()


def _file(content: bytes, content_type: str) -> File:
    return File(content, content_type, f'"{blake2b(content, digest_size=8).hexdigest()}"')


def serve(file: File, headers: Mapping[str, str]) -> Answer:
    """The answer to a GET of a file, with one byte range where it is asked for and still valid."""
    common = {"ETag": file.etag, "Accept-Ranges": "bytes"}
    asked = headers.get("Range")
    if asked is None or headers.get("If-Range", file.etag) != file.etag:
        return Answer(200, file.content, file.content_type, common)
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found[1] == found[2] == "":
        return Answer(200, file.content, file.content_type, common)
    size = len(file.content)
    start, stop = _span(found[1], found[2], size)
    if start >= min(stop, size):
        return Answer(416, b"", file.content_type, {**common, "Content-Range": f"bytes */{size}"})
    part = {**common, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(206, file.content[start:stop], file.content_type, part)


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and end (excluded) of `first-last`, `first-` or `-suffix`."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


NO_FILE = gateway_error(404)
