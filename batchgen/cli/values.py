"""Values on the command line: from a word to a number, a date or a budget; or what is wrong."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from batchgen.core.failures import parse_failures
from batchgen.core.money import parse_allowance
from batchgen.core.patience import IfLocked, Stance, parse_if_locked
from batchgen.core.quantities import parse_duration_s


def _typed(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def duration(text: str) -> object:
    """Seconds."""
    return _typed(parse_duration_s, text)


def period(text: str) -> float:
    """Seconds between two looks."""
    try:
        value_s = parse_duration_s(text)
    except ValueError as error:
        hint = f"{error} (MANIFEST goes before --watch)"
        raise argparse.ArgumentTypeError(hint) from None
    if not 0.1 <= value_s <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 100ms and 1d")
    return value_s


def date(text: str) -> str:
    """`2026-11-22`."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no date; write it like 2026-11-22")


def allowance(text: str) -> object:
    """A budget."""
    return _typed(parse_allowance, text)


def failures(text: str) -> object:
    """A count or a share."""
    return _typed(parse_failures, text)


def if_locked(text: str) -> IfLocked:
    """What to do where another run is at work."""
    try:
        return parse_if_locked(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def patience(text: str) -> IfLocked:
    """The same for a command that a person types: to skip it would be to fail."""
    found = if_locked(text)
    if found.stance is Stance.SKIP:
        raise argparse.ArgumentTypeError(f"{text!r} is for run; here it is fail or wait=DURATION")
    return found


def amount(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def whole(text: str) -> int:
    """A whole number from 1."""
    if text.isascii() and text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key.strip(), value
