"""Text from elsewhere on a terminal: a description must not move the cursor or hide a line."""

from __future__ import annotations

import unicodedata

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, invisible and direction marks, halves of pairs, private use, line separators."""


def tame(text: str) -> str:
    """On one line and without control characters."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Without control characters, line feeds included."""
    return "".join(char for char in text if unicodedata.category(char) not in _HARMFUL)
