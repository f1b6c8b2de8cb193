"""Mistyped names: the known name that is at most one typo away.

The one rule for every "did you mean": keys, columns, parameters, enum values, sheets, formats,
states. Hints are given by it, and columns are refused by it, so it is strict: a wrong guess would
refuse a column that is meant to be carried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MIN_LETTERS = 3
"""One typo in a shorter name makes any other name of that length."""
MAX_LETTERS = 64
_SEPARATORS = re.compile(r"[\s_-]+")


def nearest(name: str, known: Iterable[str], *, other_letter: bool = True) -> str | None:
    """Return the known name that `name` misses by at most one letter, None if there is none.

    A typo is a letter more, less, exchanged or swapped with its neighbour. Case, blanks, dashes
    and underscores do not count. Without `other_letter` an exchanged letter is not a typo: `side`
    is not `size`.
    """
    word = _letters(name)
    near = None
    for one in known:
        letters = _letters(one)
        if min(len(word), len(letters)) < MIN_LETTERS or len(word) > MAX_LETTERS:
            continue
        if word == letters:
            return one
        if near is None and _is_one_typo(word, letters, other_letter):
            near = one
    return near


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or an empty text if no known name is near."""
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""


def _letters(name: str) -> str:
    return _SEPARATORS.sub("", name.casefold()).strip(".")


def _is_one_typo(word: str, known: str, other_letter: bool) -> bool:
    if abs(len(word) - len(known)) > 1:
        return False
    pairs = zip(word, known, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(word), len(known)))
    rest, other = word[start:], known[start:]
    if len(rest) != len(other):
        return rest[1:] == other or rest == other[1:]
    swapped = rest[:2] == other[:2][::-1] and rest[2:] == other[2:]
    return swapped or (other_letter and rest[1:] == other[1:] and len(known) > MIN_LETTERS)
