"""Which value of an enum a person means.

`2048 x 2048` means `2048x2048(1:1)`, `720P` means `720p`, and `16:09` is what a spreadsheet makes
of `16:9`. Where several values could be meant nothing is guessed: a wrong size costs money.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence

from batchgen.core.jobs import JSONValue
from batchgen.core.schema.values import InvalidValue, shown, text_of

SHOWN_CHOICES = 16
"""Of the values of an enum in one message."""
_SPACES = re.compile(r"\s+")
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,4})(:00)?")
_SIZE = re.compile(r"([1-9][0-9]{1,5})x([1-9][0-9]{1,5})")
_LABELLED = re.compile(r"(.+?)\((.+)\)")


def meant(text: str, choices: Sequence[JSONValue]) -> JSONValue:
    """The one choice that `text` means; raises `InvalidValue` where it is none or several."""
    if text in choices:
        return text
    wanted = _normal(text)
    for forms in (_whole_forms, _part_forms):
        found = [choice for choice in choices if wanted in forms(text_of(choice))]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidValue(f"{shown(text)} could be any of {listed(found)}; write one of them")
    raise InvalidValue(_unknown(text, choices))


def _normal(text: str) -> str:
    """Without case, blanks and the several signs for times; ratios without leading zeros."""
    bare = _SPACES.sub("", text.casefold()).replace("×", "x").replace("*", "x")
    if clock := _CLOCK.fullmatch(bare):
        return f"{int(clock[1])}:{int(clock[2])}"
    try:
        number = float(bare)
    except ValueError:
        return bare
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else str(number)


def _whole_forms(choice: str) -> tuple[str, ...]:
    return (_normal(choice),)


def _part_forms(choice: str) -> tuple[str, ...]:
    """Both halves of a labelled choice: size and ratio of `2048x2048(1:1)`."""
    labelled = _LABELLED.fullmatch(choice)
    return (_normal(labelled[1]), _normal(labelled[2])) if labelled else ()


def listed(choices: Sequence[JSONValue]) -> str:
    """The choices as a message lists them, cut where there are very many."""
    names = [text_of(choice) for choice in choices[:SHOWN_CHOICES]]
    more = f" and {len(choices) - len(names)} more" if len(choices) > len(names) else ""
    return ", ".join(names) + more


def _nearest_size(wanted: str, forms: Iterable[str]) -> list[str]:
    """Of picture sizes the one of the nearest shape, then area; letters say nothing about them."""
    size = _size(wanted)
    sizes = {form: found for form in forms if (found := _size(form))}
    if size is None or not sizes:
        return []
    return [min(sizes, key=lambda form: _distance(size, sizes[form]))]


def _size(form: str) -> tuple[int, int] | None:
    match = _SIZE.match(form)
    return (int(match[1]), int(match[2])) if match else None


def _distance(one: tuple[int, int], other: tuple[int, int]) -> float:
    shape = math.log(one[0] / one[1] * other[1] / other[0])
    area = math.log(one[0] * one[1] / (other[0] * other[1]))
    return 3 * abs(shape) + abs(area)


def _unknown(text: str, choices: Sequence[JSONValue]) -> str:
    forms = {_normal(text_of(choice)): text_of(choice) for choice in choices}
    near = _nearest_size(_normal(text[:200]), forms)
    near = near or difflib.get_close_matches(_normal(text[:200]), forms, n=1, cutoff=0.6)
    hint = f"did you mean {forms[near[0]]!r}? " if near else ""
    return f"{shown(text)} is not allowed; {hint}allowed: {listed(choices)}"
