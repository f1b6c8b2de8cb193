"""Names that are nearly right: which one was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 64
"""Characters; a longer name is no mistyped parameter."""


def one_typo_from(name: str, known: Iterable[str], *, other_letter: bool = True) -> str | None:
    """The known name that `name` misses by one letter (more, less, other, swapped), else None.

    Case, blanks, dashes and underscores do not count. Names of one or two letters are too short
    to tell. Without `other_letter` a letter that is exchanged is no typo: `side` is not `size`.
    """
    word = bare(name)
    if not 2 < len(word) <= LONGEST:
        return None
    return next((one for one in known if _is_typo(word, bare(one), other_letter)), None)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, for a hint; None where none is near."""
    by_bare = {bare(one): one for one in known}
    found = difflib.get_close_matches(bare(name[:LONGEST]), by_bare, n=1, cutoff=0.6)
    return by_bare[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""


def bare(name: str) -> str:
    """The name as typos are counted in it."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_").strip("_.")


def _is_typo(word: str, known: str, other_letter: bool) -> bool:
    if len(known) < 3 or abs(len(word) - len(known)) > 1:
        return False
    if word == known:
        return True
    start = _common_prefix(word, known)
    rest, other = word[start:], known[start:]
    if len(rest) != len(other):
        return rest[1:] == other or rest == other[1:]
    swapped = rest[:2] == other[:2][::-1] and rest[2:] == other[2:]
    return swapped or (other_letter and rest[1:] == other[1:] and len(known) > 3)


def _common_prefix(one: str, other: str) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
