"""What a downloaded file is, by its first bytes, else by what the server calls it.

Only what decides an extension or gives away that the file is no output at all. A paid output is
never refused on a guess: what is neither known nor text is kept, as `.bin`.

Whether a file ends where its own format says, for formats that say it without doubt.

A server may announce half a file as all of it, or no length at all. Only what proves that bytes
are missing counts: the structure is followed from the start, and the file is cut short where a
known piece of it goes on behind the end. Where the structure cannot be followed, or the format
leaves its end open, the file is believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import unquote

import msgspec

SNIFF_BYTES = 1024
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

_MEDIA_TYPES = ("image/", "video/", "audio/")
_MEDIA_ENDINGS = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "webp",
        "gif",
        "avif",
        "heic",
        "bmp",
        "tif",
        "tiff",
        "mp4",
        "webm",
        "mov",
        "avi",
        "mkv",
        "mp3",
        "wav",
        "flac",
        "ogg",
        "m4a",
    ]
)
_SAYS_ERROR = frozenset({"error_code", "error_message"})
"""Keys that an error body of the API has, and no output."""
_ERROR_WORDS = frozenset({"error", "errors", "message", "detail"})
_BESIDE_ERROR_WORDS = frozenset({"code", "status", "statusCode", "request_id", "requestId"})
_XML_ERROR = re.compile(rb"(<\?xml[^>]*\?>\s*)?<Error[\s>]")


def extension(start: bytes, content_type: str) -> str:
    """Without a dot. The bytes are believed before the server, the URL never."""
    return _by_bytes(start) or _BY_TYPE.get(content_type.lower(), FALLBACK)


def is_web_page(start: bytes, content_type: str) -> bool:
    """Whether this is an error page that was served in place of a file."""
    looks_like = _text_start(start).lower().startswith((b"<!doctype html", b"<html"))
    return looks_like or (content_type.lower() == "text/html" and not _by_bytes(start))


def impostor(start: bytes, content_type: str, url: str) -> str | None:
    """What came in place of the file, for a message; None where this may be the file.

    `start` is the first `SNIFF_BYTES`. Bytes of a known format are always believed. Text is no
    picture, film or sound, where the URL or the Content-Type promises one; and error bodies in the
    forms that this API and object stores use are no output whatever was promised.
    """
    if _by_bytes(start):
        return None
    if is_web_page(start, content_type):
        return "a web page"
    if not _is_text(start):
        return None
    if _XML_ERROR.match(_text_start(start)) or _is_error_json(start, url):
        return "an error message"
    if _promises_media(content_type, url) and b"<svg" not in start:
        return "text"
    return None


def _promises_media(content_type: str, url: str) -> bool:
    return content_type.lower().startswith(_MEDIA_TYPES) or _ending(url) in _MEDIA_ENDINGS


def _ending(url: str) -> str:
    name = unquote(url.partition("?")[0].rpartition("/")[2])
    return name.rpartition(".")[2].lower() if "." in name else ""


def _is_error_json(start: bytes, url: str) -> bool:
    try:
        body = msgspec.json.decode(start)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # also where it is longer than what is looked at: error bodies are short
    if not isinstance(body, dict):
        return False
    words = body.keys() - _BESIDE_ERROR_WORDS
    only_errors = bool(words) and words <= _ERROR_WORDS and _ending(url) != "json"
    return only_errors or bool(body.keys() & _SAYS_ERROR)


def _is_text(start: bytes) -> bool:
    """Whether all of it is text: UTF-8 without control characters, which no binary format is."""
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in start):
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and len(start) >= SNIFF_BYTES  # a character cut in two
    return True


def _text_start(start: bytes) -> bytes:
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")


def _by_bytes(start: bytes) -> str | None:
    for magic, name in _BY_START:
        if start.startswith(magic):
            return name
    if start.startswith(b"RIFF"):
        return _BY_RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BY_BRAND.get(start[8:12], "mp4")
    return None


_TAIL_BYTES = 1 << 16
_ZIP_TAIL_BYTES = 22 + 0xFFFF
"""The end record and the longest comment behind it."""
_OPEN_RIFF_BYTES = 0x7FFF0000
"""Writers that could not go back to fill in the length leave one of about this size, or more."""
_RIFF_FIRST = (b"VP8 ", b"VP8L", b"VP8X", b"fmt ", b"JUNK", b"LIST", b"bext")
_MP4_BOXES = frozenset(
    b"ftyp mdat moov moof meta free skip wide uuid sidx styp pdin mfra udta emsg".split()
)
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


def is_cut_short(file: BinaryIO, size_bytes: int) -> bool:
    """Whether the end of the file is provably missing. Moves the file's position."""
    start = _at(file, 0, 16)
    for magic, check in _CHECKS:
        if start.startswith(magic):
            return check(file, size_bytes)
    return start[4:8] == b"ftyp" and _mp4(file, size_bytes)


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _png(file: BinaryIO, size_bytes: int) -> bool:
    """Chunk after chunk up to IEND."""
    at, kind = 8, _at(file, 12, 4)
    if kind != b"IHDR":
        return False
    while kind != b"IEND":
        head = _at(file, at, 8)
        kind = head[4:]
        at += 12 + int.from_bytes(head[:4], "big")
        if not kind.isalpha():
            return len(head) < 8  # its place is behind the end, or holds something else
    return at > size_bytes


def _jpeg(file: BinaryIO, size_bytes: int) -> bool:
    """From the beginning of the picture on, the end marker stands only at its end."""
    at = 2
    while True:
        head = _at(file, at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            return False
        if head[1] == _JPEG_SCAN:
            break
        at += 2 + int.from_bytes(head[2:], "big")
    return _JPEG_END not in _at(file, max(at, size_bytes - _TAIL_BYTES), _TAIL_BYTES)


def _riff(file: BinaryIO, size_bytes: int) -> bool:
    head = _at(file, 4, 12)
    declared = int.from_bytes(head[:4], "little")
    return head[8:] in _RIFF_FIRST and declared < _OPEN_RIFF_BYTES and 8 + declared > size_bytes


def _glb(file: BinaryIO, size_bytes: int) -> bool:
    head = _at(file, 4, 8)
    version, declared = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
    return version in (1, 2) and declared > size_bytes


def _zip(file: BinaryIO, size_bytes: int) -> bool:
    version, method = _at(file, 4, 1), _at(file, 8, 2)
    known = version in (b"\x0a", b"\x14", b"\x2d") and method in (b"\0\0", b"\x08\0")
    tail = _at(file, max(0, size_bytes - _ZIP_TAIL_BYTES), _ZIP_TAIL_BYTES)
    return known and b"PK\x05\x06" not in tail


def _mp4(file: BinaryIO, size_bytes: int) -> bool:
    """Box after box up to the end; where there is content, an index has to be among them."""
    at, kinds = 0, set()
    while at + 8 <= size_bytes:
        head = _at(file, at, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if kind not in _MP4_BOXES or length < 8:
            return False  # length 0: this box goes on to the end, wherever that is
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
