"""The display of texts from elsewhere, and the streams that people and programs read."""

from __future__ import annotations

import json
import unicodedata
from typing import Protocol

import msgspec

_HARMFUL = frozenset({"Cc", "Cf", "Co", "Zl", "Zp"})
"""Control, format and private-use characters, line and paragraph separators."""
_JOINERS = "\u200c\u200d"
_DELETE = 0x7F
REPLACEMENT = "\ufffd"
"""Shown for what is not text, such as the bytes of a file name in another encoding."""


class TextStream(Protocol):
    """stdout or stderr; writing to it never raises, whatever has become of its other end."""

    @property
    def encoding(self) -> str:
        """The encoding of what is written."""
        ...

    def write(self, text: str, /) -> int:
        """Write a text."""
        ...

    def flush(self) -> None:
        """Hand over what was written."""
        ...

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        ...

    def fileno(self) -> int:
        """Return its file descriptor. Raises OSError if there is none."""
        ...


def tame(text: str) -> str:
    """Return a text on one line, without control characters."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Return a text without control characters, line feeds included.

    Nothing that hides, turns around or moves other text is left. A joiner stays if it shapes a
    letter or an emoji before it: names in Hindi and Persian have them.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = ""
    for char in text:
        joins = char in _JOINERS and kept and not kept[-1].isascii() and kept[-1] not in _JOINERS
        kept += char if joins else _visible(char)
    return kept.rstrip(_JOINERS)


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    return REPLACEMENT if category == "Cs" else "" if category in _HARMFUL else char


def json_line(value: object, encoding: str = "utf-8") -> str:
    """Return a value as JSON for a stream of this encoding.

    JSON is UTF-8: in another encoding everything but ASCII is escaped. So are bytes in a file name
    that are not text, and control characters.
    """
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return _ascii_json(value)
    if text.isascii() and "\x7f" not in text:
        return text
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return escaped(text) if is_utf8 else _ascii_json(value)


def _ascii_json(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def escaped(text: str) -> str:
    """Return JSON with its control characters escaped, which means the same."""
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    """Return a character as JSON shows it on a terminal; in a file, both are the same."""
    if char.isprintable() or unicodedata.category(char) not in _HARMFUL:
        return char
    return json.dumps(char)[1:-1] if ord(char) != _DELETE else "\\u007f"
