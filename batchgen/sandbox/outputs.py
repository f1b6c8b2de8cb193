"""The files that finished jobs point to.

Nothing is kept: a file is drawn when it is asked for, always the same bytes for the same job.
Image models give PNGs, audio models a second of silence as WAV. Video models give a PNG as well:
no video can be made without an encoder, and nothing that only calls itself one is served.
"""

from __future__ import annotations

import io
import wave
from functools import cache, lru_cache

from batchgen.sandbox.answers import gateway_error
from batchgen.sandbox.files import File, file_with
from batchgen.sandbox.pictures import draw, size_of
from batchgen.sandbox.requests import Request

FRESH = "fresh=1"
"""The query of addresses that are told after the first ones have died."""


def output_of(request: Request, base: str) -> dict[str, object]:
    """The `output` of a good result: one URL under `image`, several under `images`, and so on."""
    suffix = "wav" if request.model.kind == "audio" else "png"
    query = "" if request.dead_link is None else f"?{FRESH}"
    urls = [
        f"{base}/files/{request.request_id}/{index}.{suffix}{query}"
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
        return file_with(_silence(), "audio/wav") if suffix == "wav" else None
    if suffix != "png":
        return None
    key = f"{request.digest}/{request.attempt}/{int(number)}"
    return _picture(key, *size_of(request.values))


@lru_cache(maxsize=256)
def _picture(key: str, width: int, height: int) -> File:
    return file_with(draw(key, width, height), "image/png")


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


NO_FILE = gateway_error(404)
