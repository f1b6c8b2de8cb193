"""What the container of a video or a sound says: its length, and whether it is silent.

The files come from outside, so every length in them is held against the bytes that are there. What
cannot be read has no facts.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from batchgen.core.output_checks import Measure

_MAX_MOOV_BYTES = 32 << 20
_MAX_BOXES = 10_000
_BLOCK_BYTES = 1 << 20


def media_facts(path: Path) -> Measure:
    """Return length and silence of an MP4, QuickTime or WAV file; an empty one for any other."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            size_bytes = os.fstat(file.fileno()).st_size
            if head[4:8] == b"ftyp":
                return _movie(file, size_bytes)
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                return _wave(file, size_bytes)
    except (OSError, struct.error, ValueError):
        pass
    return Measure()


def _movie(file: IO[bytes], size_bytes: int) -> Measure:
    offset = 0
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        begin = 8
        if length == 1:
            length, begin = struct.unpack(">Q", head[8:16])[0], 16
        if length < begin or length > size_bytes - offset:
            break
        if kind == b"moov" and length <= _MAX_MOOV_BYTES:
            file.seek(offset + begin)
            return _moov(file.read(length - begin))
        offset += length
    return Measure()


def _moov(data: bytes) -> Measure:
    duration_s, kinds = None, set()
    for kind, box in _boxes(data):
        if kind == b"mvhd":
            duration_s = _mvhd_s(box)
        elif kind == b"trak":
            kinds.add(_kind_of_track(box))
    if not kinds:
        return Measure(duration_s=duration_s)
    return Measure(
        duration_s=duration_s, has_video=b"vide" in kinds, is_silent=b"soun" not in kinds
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 0
    while offset + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        if length < 8 or offset + length > len(data):
            return
        yield kind, data[offset + 8 : offset + length]
        offset += length


def _mvhd_s(box: bytes) -> float | None:
    scale, ticks = struct.unpack_from(">IQ" if box[0] == 1 else ">II", box, 20 if box[0] else 12)
    return ticks / scale if scale else None


def _kind_of_track(trak: bytes) -> bytes:
    media = next((box for kind, box in _boxes(trak) if kind == b"mdia"), b"")
    return next((box[8:12] for kind, box in _boxes(media) if kind == b"hdlr"), b"")


def _wave(file: IO[bytes], size_bytes: int) -> Measure:
    offset, bytes_per_s = 12, 0
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"fmt ":
            bytes_per_s = struct.unpack("<I", file.read(16)[8:12])[0]
        elif kind == b"data":
            length = min(length, size_bytes - offset - 8)
            duration_s = length / bytes_per_s if bytes_per_s else None
            return Measure(duration_s=duration_s, is_silent=_is_zero(file, length))
        offset += 8 + length + length % 2
    return Measure()


def _is_zero(file: IO[bytes], length: int) -> bool:
    while length > 0:
        block = file.read(min(_BLOCK_BYTES, length))
        if not block or block.count(0) != len(block):
            return not block
        length -= len(block)
    return True
