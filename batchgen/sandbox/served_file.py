"""A file and the answer to a GET of it, with one byte range where it is asked for."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from batchgen.sandbox.http_answer import Answer

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PNG_HEAD = 33
"""Bytes of a PNG up to the end of its header chunk."""


@dataclass(frozen=True, slots=True)
class File:
    """One output, whole."""

    content: bytes
    content_type: str
    etag: str


def file_with(content: bytes, content_type: str) -> File:
    """A file whose ETag follows from its content."""
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


def remade(file: File) -> File:
    """Another good file in its place; parts of both together make none.

    A text chunk early in a PNG moves everything behind it, so that a glued picture does not decode.
    """
    text = b"tEXtComment\x00made again"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    at = _PNG_HEAD if file.content.startswith(b"\x89PNG") else len(file.content)
    return file_with(file.content[:at] + chunk + file.content[at:], file.content_type)
