"""The type of a downloaded file, by its first bytes, else by what the server calls it.

Only what decides an extension, or shows that the file is not an output at all. A paid output is
never refused on a guess: what is neither known nor text is kept, as `.bin`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from batchgen.core.file_signatures import SNIFF_BYTES, extension_of
from batchgen.core.json_reader import BadJSON, decode_json

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
_MEDIA_ENDINGS = frozenset({
    "png", "jpg", "jpeg", "webp", "gif", "avif", "heic", "bmp", "tif", "tiff",
    "mp4", "webm", "mov", "avi", "mkv", "mp3", "wav", "flac", "ogg", "m4a",
})  # fmt: skip
_SAYS_ERROR = frozenset({"error_code", "error_message"})
"""Keys that an error body of the API has, and no output has."""
_ERROR_WORDS = frozenset({"error", "errors", "message", "detail"})
_BESIDE_ERROR_WORDS = frozenset({"code", "status", "statusCode", "request_id", "requestId"})
_XML_ERROR = re.compile(rb"(<\?xml[^>]*\?>\s*)?<Error[\s>]")


def extension(start: bytes, content_type: str) -> str:
    """Return the extension, without a dot: by the bytes, else by the server, never by the URL."""
    return extension_of(start) or _BY_TYPE.get(content_type.lower(), FALLBACK)


def is_web_page(start: bytes, content_type: str) -> bool:
    """Return whether this is an error page that was served in place of a file."""
    looks_like = _text_start(start).lower().startswith((b"<!doctype html", b"<html"))
    return looks_like or (content_type.lower() == "text/html" and not extension_of(start))


def impostor(start: bytes, content_type: str, url: str) -> str | None:
    """Return what was sent instead of the file, for a message; None if this may be the file.

    `start` is the first `SNIFF_BYTES`. Bytes of a known format are always believed. If the URL
    or the Content-Type promises a picture, film or sound, text is not the file. An error body in
    the forms that this API and object stores use never is, whatever was promised.
    """
    if extension_of(start):
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
        body = decode_json(start)
    except BadJSON:
        return False  # also if it is longer than `start`: error bodies are short
    if not isinstance(body, dict):
        return False
    words = body.keys() - _BESIDE_ERROR_WORDS
    only_errors = bool(words) and words <= _ERROR_WORDS and _ending(url) != "json"
    return only_errors or bool(body.keys() & _SAYS_ERROR)


def _is_text(start: bytes) -> bool:
    """Return whether all of it is UTF-8 without control characters, which no binary format is."""
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in start):
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and len(start) >= SNIFF_BYTES  # a character cut in two
    return True


def _text_start(start: bytes) -> bytes:
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")
