"""Proof that a file is incomplete, for formats that say where they end.

A server may announce half a file as all of it, or no length at all. Only what proves that bytes
are missing counts: the structure is followed from the start, and the file is cut short if a known
piece of it continues behind the end. If the structure cannot be followed, or the format leaves its
end open, the file is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

_TAIL_BYTES = 1 << 16
_ZIP_TAIL_BYTES = 22 + 0xFFFF
"""The end record and the longest comment behind it."""
_OPEN_RIFF_BYTES = 0x7FFF0000
"""Writers that cannot go back to fill in the length leave one of about this size, or more."""
_RIFF_FIRST = (b"VP8 ", b"VP8L", b"VP8X", b"fmt ", b"JUNK", b"LIST", b"bext")
_MP4_BOXES = frozenset(
    b"ftyp mdat moov moof meta free skip wide uuid sidx styp pdin mfra udta emsg".split()
)
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


def is_cut_short(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether the end of the file is provably missing. Moves the file's position."""
    start = _at(file, 0, 16)
    for magic, check in _CHECKS:
        if start.startswith(magic):
            return check(file, size_bytes)
    return start[4:8] == b"ftyp" and _mp4(file, size_bytes)


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _png(file: BinaryIO, size_bytes: int) -> bool:
    """Follow chunk after chunk up to IEND."""
    at, kind = 8, _at(file, 12, 4)
    if kind != b"IHDR":
        return False
    while kind != b"IEND":
        header = _at(file, at, 8)
        kind = header[4:]
        at += 12 + int.from_bytes(header[:4], "big")
        if not kind.isalpha():
            return len(header) < 8  # it would be behind the end, or it is not a chunk
    return at > size_bytes


def _jpeg(file: BinaryIO, size_bytes: int) -> bool:
    """Look for the end marker, whose bytes do not occur inside the picture."""
    at = 2
    while True:
        header = _at(file, at, 4)
        if len(header) < 4 or header[0] != 0xFF:
            return False
        if header[1] == _JPEG_SCAN:
            break
        at += 2 + int.from_bytes(header[2:], "big")
    return _JPEG_END not in _at(file, max(at, size_bytes - _TAIL_BYTES), _TAIL_BYTES)


def _riff(file: BinaryIO, size_bytes: int) -> bool:
    header = _at(file, 4, 12)
    declared = int.from_bytes(header[:4], "little")
    return header[8:] in _RIFF_FIRST and declared < _OPEN_RIFF_BYTES and 8 + declared > size_bytes


def _glb(file: BinaryIO, size_bytes: int) -> bool:
    header = _at(file, 4, 8)
    version, declared = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:], "little")
    return version in (1, 2) and declared > size_bytes


def _zip(file: BinaryIO, size_bytes: int) -> bool:
    version, method = _at(file, 4, 1), _at(file, 8, 2)
    known = version in (b"\x0a", b"\x14", b"\x2d") and method in (b"\0\0", b"\x08\0")
    tail = _at(file, max(0, size_bytes - _ZIP_TAIL_BYTES), _ZIP_TAIL_BYTES)
    return known and b"PK\x05\x06" not in tail


def _mp4(file: BinaryIO, size_bytes: int) -> bool:
    """Follow box after box up to the end; content needs an index among them."""
    at, kinds = 0, set()
    while at + 8 <= size_bytes:
        header = _at(file, at, 16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if kind not in _MP4_BOXES or length < 8:
            return False  # length 0: this box continues to the end, wherever that is
        kinds.add(kind)
        at += length
    return at > size_bytes or (b"mdat" in kinds and not kinds & {b"moov", b"meta"})


_CHECKS: tuple[tuple[bytes, Callable[[BinaryIO, int], bool]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _riff),
    (b"glTF", _glb),
    (b"PK\x03\x04", _zip),
)
