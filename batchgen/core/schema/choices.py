"""Matching of a text to the value of an enum that it means.

`2048 x 2048` means `2048x2048(1:1)`, `720P` means `720p`, and `16:09` is what a spreadsheet makes
of `16:9`. If several values could be meant nothing is guessed: a wrong size costs money.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from batchgen.core.jobs import JSONValue
from batchgen.core.schema.values import InvalidValue, shown, text_of
from batchgen.core.suggest import nearest

SHOWN_CHOICES = 16
"""Of the values of an enum in one message."""
_SPACES = re.compile(r"\s+")
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,4})(:00)?")
_SIZE = re.compile(r"([1-9][0-9]{1,5})x([1-9][0-9]{1,5})")
_LABELLED = re.compile(r"(.+?)\((.+)\)")


def meant(text: str, choices: Sequence[JSONValue]) -> JSONValue:
    """Return the one choice that `text` means; raise `InvalidValue` if it is none or several."""
    if text in choices:
        return text
    wanted = _normal(text)
    for forms in (_whole_form, _part_forms):
        found = [choice for choice in choices if wanted in forms(text_of(choice))]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidValue(f"{shown(text)} could be any of {listed(found)}; write one of them")
    raise InvalidValue(_unknown(text, choices))


def _normal(text: str) -> str:
    """Drop case, blanks and leading zeros, and write the signs for "times" as `x`."""
    bare = _SPACES.sub("", text.casefold()).replace("×", "x").replace("*", "x")
    if clock := _CLOCK.fullmatch(bare):
        return f"{int(clock[1])}:{int(clock[2])}"
    try:
        number = float(bare)
    except ValueError:
        return bare
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else str(number)


def _whole_form(choice: str) -> tuple[str, ...]:
    return (_normal(choice),)


def _part_forms(choice: str) -> tuple[str, ...]:
    """Return both halves of a labelled choice: size and ratio of `2048x2048(1:1)`."""
    labelled = _LABELLED.fullmatch(choice)
    return (_normal(labelled[1]), _normal(labelled[2])) if labelled else ()


def listed(choices: Sequence[JSONValue]) -> str:
    """Return the choices for a message, cut if there are very many."""
    names = [text_of(choice) for choice in choices[:SHOWN_CHOICES]]
    more = f" and {len(choices) - len(names)} more" if len(choices) > len(names) else ""
    return ", ".join(names) + more


def _unknown(text: str, choices: Sequence[JSONValue]) -> str:
    forms = {_normal(text_of(choice)): text_of(choice) for choice in choices}
    wanted = _normal(text[:200])
    near = _nearest_size(wanted, forms) or nearest(wanted, forms)
    hint = f"did you mean {forms[near]!r}? " if near else ""
    return f"{shown(text)} is not allowed; {hint}allowed: {listed(choices)}"


def _nearest_size(wanted: str, forms: Iterable[str]) -> str | None:
    """Return the size with the nearest shape, then area; its letters say nothing about that."""
    size = _size(wanted)
    sizes = {form: found for form in forms if (found := _size(form))}
    if size is None or not sizes:
        return None
    return min(sizes, key=lambda form: _distance(size, sizes[form]))


def _size(form: str) -> tuple[int, int] | None:
    match = _SIZE.match(form)
    return (int(match[1]), int(match[2])) if match else None


def _distance(one: tuple[int, int], other: tuple[int, int]) -> float:
    shape = math.log(one[0] / one[1] * other[1] / other[0])
    area = math.log(one[0] * one[1] / (other[0] * other[1]))
    return 3 * abs(shape) + abs(area)
