"""What the headers of an answer say of the bytes in it: which they are, and of what."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import aiohttp

from batchgen.outputs.notes import Note
from batchgen.outputs.part import Part


def _content_range(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """First byte and total of `bytes 5000-9999/10000`, as they stand there."""
    span, _, total = response.headers.get("Content-Range", "").partition("/")
    return span.removeprefix("bytes ").partition("-")[0].strip(), total.strip()


def goes_on(response: aiohttp.ClientResponse, note: Note, part: Part) -> bool:
    """Whether the answer goes on exactly where the part ends, in a file of the same length."""
    first, total = _content_range(response)
    same = note.total_bytes is None or total in ("*", str(note.total_bytes))
    return bool(part.size_bytes) and first == str(part.size_bytes) and same


def total_bytes(response: aiohttp.ClientResponse, note: Note) -> int | None:
    """Of the whole file; None where the server does not say."""
    if response.status == 206:
        total = _content_range(response)[1]
        return int(total) if total.isascii() and total.isdecimal() else note.total_bytes
    return None if _is_encoded(response) else response.content_length


def _is_encoded(response: aiohttp.ClientResponse) -> bool:
    """Compressed though nobody asked for it: lengths and ranges are then of other bytes."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def validator(response: aiohttp.ClientResponse) -> str:
    """What If-Range may say of these bytes; empty where nothing names them without doubt.

    A weak ETag names bytes that only mean the same. A Last-Modified is good where it is older than
    the answer by a second at least: what changes twice within one second keeps its date.
    """
    if _is_encoded(response):
        return ""
    etag = response.headers.get("ETag", "").strip()
    if etag:
        return etag if etag.startswith('"') else ""
    modified, date = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age.total_seconds() >= 1 else ""


def retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """What a busy server asks for, where it says it in seconds."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else None
