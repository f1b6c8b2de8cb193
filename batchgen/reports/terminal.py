"""The display of texts from elsewhere: they must not move the cursor or hide a line."""

from __future__ import annotations

import unicodedata

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Control, format and private-use characters, surrogates, line and paragraph separators."""


def tame(text: str) -> str:
    """Return a text on one line, without control characters."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Return a text without control characters, line feeds included."""
    return "".join(char for char in text if unicodedata.category(char) not in _HARMFUL)
