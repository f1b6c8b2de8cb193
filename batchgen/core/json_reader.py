"""JSON from elsewhere, decoded within bounds.

A value nested a thousand levels deep ends in a `RecursionError`: in the decoder, or in the first
function that walks through the value. Whether it does depends on how deep the caller already is, so
the depth is counted in the bytes, before anything is decoded.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"

MAX_DEPTH = 64
"""Levels of a value; real schemas and answers have about ten."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]+|[\]}]+', re.DOTALL)


class BadJSON(ValueError):
    """Bytes that are not JSON, or JSON that is nested too deeply; the message says which."""


def decode_json(raw: bytes, type: Any = Any) -> Any:  # noqa: A002 - as msgspec calls it
    """Return the value, of this type if one is given. Raises `BadJSON`."""
    if is_too_deep(raw):
        raise BadJSON(f"nested more than {MAX_DEPTH} levels deep")
    try:
        return msgspec.json.decode(raw, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJSON(str(error)) from None


def is_too_deep(raw: bytes) -> bool:
    """Tell whether JSON is nested more than `MAX_DEPTH` levels deep; it need not be valid."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKEN.finditer(raw):
        begin, end = token.span()
        if raw[begin] in b"[{":
            depth += end - begin
            if depth > MAX_DEPTH:
                return True
        elif raw[begin] != 0x22:
            depth -= end - begin
    return False
