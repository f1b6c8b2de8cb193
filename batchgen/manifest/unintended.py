"""Texts that nobody can have meant: what a program wrote into a cell, and names of files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from batchgen.core.json_reader import JSONValue
from batchgen.core.schema.values import Given, InvalidValue, text_of
from batchgen.manifest.formats import FORMATS

Read = Callable[[Given], JSONValue]

_ERROR_WORDS = frozenset({
    "#ref!", "#name?", "#value!", "#div/0!", "#n/a", "#null!", "#num!", "#error!", "#spill!",
    "#calc!", "#field!", "#connect!", "#blocked!", "#unknown!", "#getting_data", "#busy!",
    "loading...", "loading…",
})  # fmt: skip
"""What a spreadsheet program shows for a cell that it could not compute, or not yet."""
_EMPTY_WORDS = frozenset({"nan", "<na>", "nat", "null", "none", "undefined", "n/a"})
"""What programs write for a cell that was empty."""
_LONGEST = max(map(len, _ERROR_WORDS | _EMPTY_WORDS))
_FIRST = frozenset({"#", "l", "L", " ", "\t", "\xa0"})
"""What a cell with an error word begins with."""
_MAX_NAME = 255


def fault_of_cell(given: Given) -> str | None:
    """Return what is wrong with a cell that holds an error word of a spreadsheet."""
    if isinstance(given, str) and given[:1] in _FIRST and len(given) <= 2 * _LONGEST:
        word = given.strip()
        if word.casefold() in _ERROR_WORDS:
            return f"{word!r} is what a spreadsheet shows for a cell that it could not compute"
    return None


def cell_reader(read: Read) -> Read:
    """Return `read` for the cells of a table, in which no error word can be meant."""
    return partial(_read_cell, read)


def prompt_reader(read: Read, directory: Path, *, is_table: bool) -> Read:
    """Return `read` for prompts: not the name of a prompt file, in a table no word for nothing."""
    return partial(_read_prompt, read, directory, is_table)


def _read_cell(read: Read, given: Given) -> JSONValue:
    if fault := fault_of_cell(given):
        raise InvalidValue(fault)
    return read(given)


def _read_prompt(read: Read, directory: Path, is_table: bool, given: Given) -> JSONValue:
    text = given if isinstance(given, str) else text_of(given)
    if len(text) <= _MAX_NAME:
        name = text.strip()
        if is_table and (fault := fault_of_cell(name)):
            raise InvalidValue(fault)
        if is_table and name.casefold() in _EMPTY_WORDS:
            raise InvalidValue(f"{name!r} is what a program writes for an empty cell; fill it")
        if _names_a_file(name, directory):
            raise InvalidValue(f"{name!r} is the name of a file; write `file: {name}`")
    return read(given)


def _names_a_file(name: str, directory: Path) -> bool:
    ending = f".{name.rpartition('.')[2].lower()}"
    if ending not in FORMATS or not name.isprintable():
        return False
    try:
        return (directory / name).is_file()
    except (OSError, ValueError):
        return False
