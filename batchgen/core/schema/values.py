"""Values as people give them, before they have the schema's type, and their form in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from batchgen.core.json_reader import JSONValue

SHOWN_CHOICES = 16
"""Of the values of an enum in one message."""
SHOWN_CHARACTERS = 60
"""Of a value in a message; a prompt of a thousand words does not help to find it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A plain scalar of a YAML file: `no` is the text "no" for a prompt and false for a switch."""

    text: str
    value: JSONValue


Given: TypeAlias = (
    "bool | int | float | str | Written | Sequence[Given] | Mapping[str, Given] | None"
)
"""A value of a cell, of YAML or of JSON. Every JSONValue is one too."""


class InvalidValue(ValueError):
    """A value that cannot become what the schema wants: what is wrong, what would be right."""


def plain(value: Given) -> JSONValue:
    """Return the value as its own file's language means it."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Written):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def text_of(value: Given) -> str:
    """Return the value as text: as written if that is known, else as JSON; empty for null."""
    if isinstance(value, str):
        return value
    if isinstance(value, Written):
        return value.text
    if value is None:
        return ""
    return msgspec.json.encode(plain(value)).decode()


def shown(value: Given) -> str:
    """Return the value for a message: quoted, on one line, cut."""
    text = text_of(value)
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return repr(cut)


def listed(choices: Sequence[JSONValue]) -> str:
    """Return the choices for a message, cut if there are very many."""
    names = [text_of(choice) for choice in choices[:SHOWN_CHOICES]]
    more = f" and {len(choices) - len(names)} more" if len(choices) > len(names) else ""
    return ", ".join(names) + more
