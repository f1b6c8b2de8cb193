"""How the values of options and selectors are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.sandbox.failures import MISSING, SHAPES
from batchgen.sandbox.spoilers import BODIES


def _number(text: str, *, above: float = float("inf"), least: float = 0.0) -> float:
    value = float(text)
    if not least <= value <= above or value == float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _code(text: str) -> int:
    value = int(text)
    if not 400 <= int(str(value)[:3]) <= 599:
        raise ValueError
    return value


def _http(text: str) -> int:
    value = int(text)
    if not 200 <= value <= 599:
        raise ValueError
    return value


def _text(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError
    return text


def _ascii(text: str) -> str:
    if not text.isascii():
        raise ValueError
    return _text(text)


def _yes(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text]


Reader = tuple[Callable[[str], object], str]
"""How a value is read, and what is right where it cannot be."""


def _choice(*words: str) -> Reader:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read, f"{', '.join(words[:-1])} or {words[-1]}"


_SECONDS: Reader = (_number, "seconds, 0 or more")

OPTIONS: Mapping[str, Reader] = {
    "accepted": (_yes, "yes or no"),
    "retry_after": _SECONDS,
    "retry_after_date": _SECONDS,
    "code": (_code, "an error code whose first three digits are 400 to 599, such as 400002"),
    "body": _choice(*BODIES),
    "shape": _choice(*SHAPES, MISSING),
    "message": (_text, "some words"),
    "cost_usd": (_number, "USD, 0 or more"),
    "word": (_text, "a word, such as warming_up"),
    "http": (_http, "an HTTP status, 200 to 599"),
    "for_s": _SECONDS,
    "delay_s": _SECONDS,
    "after_s": _SECONDS,
    "bytes_per_s": (lambda text: _number(text, least=1.0), "bytes a second, 1 or more"),
    "to": _choice("path", "host"),
    "type": (_ascii, "a Content-Type, such as text/plain"),
    "unit": (_text, "a price unit, such as megapixel"),
}
"""What options of a fault look like."""

SELECTORS: Mapping[str, Reader] = {
    "rate": (lambda text: _number(text, above=1.0), "a share from 0 to 1"),
    "first": (_count, "a number of calls, from 1"),
    "every": (_count, "a number of calls, from 1"),
    "match": (str, "part of a prompt"),
    "model": (str, "part of a model id"),
    "from_s": _SECONDS,
    "to_s": _SECONDS,
}
"""What says which calls a rule is about; all that are given must agree."""

TEXTS = frozenset({"match", "message"})
"""Values that may have colons of their own."""
