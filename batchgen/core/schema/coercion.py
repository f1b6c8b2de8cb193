"""Conversion of a cell or a YAML value to the type that the schema wants.

One function per kind, from what was given to what is sent. Nothing is checked against limits here;
a value that cannot have the type at all raises `InvalidValue`. Addresses of input files must be
public https, because the API fetches them itself.

A text may mean a value of an enum without being equal to it: `2048 x 2048` means
`2048x2048(1:1)`, `720P` means `720p`, and `16:09` is what a spreadsheet makes of `16:9`. If
several values could be meant nothing is guessed: a wrong size costs money.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from batchgen.core.json_reader import BadJSON, JSONValue, decode_json
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import (
    Given,
    InvalidValue,
    Written,
    listed,
    plain,
    shown,
    text_of,
)
from batchgen.core.suggest import nearest


class LocalPath(str):
    """The text of a parameter that wants an address, which may be the name of a file here."""

    __slots__ = ()


def checked_url(text: str) -> str:
    """Return the address without outer blanks; a `LocalPath` if it is none but may name a file.

    Raises `InvalidValue` for an address that the API could not fetch.
    """
    url = text.strip()
    if url.startswith("data:") or not (fault := _fault(url)):
        return url
    if url and "://" not in url and "\0" not in url and "\n" not in url:
        return LocalPath(url)
    raise InvalidValue(f"{shown(url)} {fault}; expected a public https:// address")


def _fault(url: str) -> str | None:
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        return "has a blank, control character or backslash in it"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme != "https":
        return "is not an https address" if parts.scheme else "is not an address"
    if not host:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or password"
    return None


MAX_INTEGER = 2**63 - 1
"""Larger numbers do not survive the JSON of most servers."""
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})(e[+-]?[0-9]{1,3})?", re.IGNORECASE
)
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]{0,25},[0-9]{1,25}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c]")
"""Vertical tabs and form feeds are the soft line breaks of office programs."""

TRUE_WORDS = frozenset({"true", "yes", "y", "on", "1", "x", "wahr", "vrai", "verdadero", "vero"})
FALSE_WORDS = frozenset({"false", "no", "n", "off", "0", "falsch", "faux", "falso", "onwaar"})
"""What people and spreadsheets of several languages write for true and false."""

_SPACES = re.compile(r"\s+")
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,4})(:00)?")
_SIZE = re.compile(r"([1-9][0-9]{1,5})x([1-9][0-9]{1,5})")
_LABELLED = re.compile(r"(.+?)\((.+)\)")


def coerce(prop: Property, given: Given, *, decimal_comma: bool = False) -> JSONValue:
    """Return `given` in the type of `prop`; raise `InvalidValue` if it cannot have that type.

    With `decimal_comma`, `0,5` is a number, as semicolon files write it.
    """
    if prop.choices:
        return _choice(prop, given, decimal_comma)
    first_fault: InvalidValue | None = None
    for kind in prop.kinds:
        try:
            return _READERS[kind](prop, given, decimal_comma)
        except InvalidValue as unfit:
            first_fault = first_fault or unfit
    if first_fault is not None:
        raise first_fault
    return _untyped(given)


def _choice(prop: Property, given: Given, decimal_comma: bool) -> JSONValue:
    """Return a value of the enum, in its type: `5` stays the text "5" if the enum holds texts."""
    if isinstance(given, (list, dict)):
        if Kind.LIST in prop.kinds:
            return [_meant(text_of(item).strip(), prop.choices) for item in given]
        raise InvalidValue(f"expected one of the model's values, got {shown(given)}")
    text = text_of(given).strip()
    if decimal_comma and _COMMA_NUMBER.fullmatch(text):
        text = text.replace(",", ".")
    return _meant(text, prop.choices)


def _meant(text: str, choices: Sequence[JSONValue]) -> JSONValue:
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


def clean_text(text: str) -> str:
    """Return the text with line feeds for line ends: a file saved elsewhere is the same job.

    Raises `InvalidValue` for characters that no prompt can hold.
    """
    if found := _CONTROL.search(text):
        place, code = found.start() + 1, ord(found[0])
        raise InvalidValue(f"has the control character U+{code:04X} at place {place}; remove it")
    return _LINE_ENDS.sub("\n", text)


def _text(prop: Property, given: Given, _decimal_comma: bool) -> JSONValue:
    if isinstance(given, (list, dict)):
        raise InvalidValue(f"expected text, got {shown(given)}")
    text = given if isinstance(given, str) else text_of(given)
    return checked_url(clean_text(text)) if prop.is_url else clean_text(text)


def _truth(_prop: Property, given: Given, _decimal_comma: bool) -> JSONValue:
    if isinstance(value := plain(given), bool):
        return value
    word = text_of(given).strip().casefold()
    if word in TRUE_WORDS or word == "1.0":
        return True
    if word in FALSE_WORDS or word == "0.0":
        return False
    raise InvalidValue(f"expected true or false, got {shown(given)}")


def _number(prop: Property, given: Given, decimal_comma: bool) -> int | float:
    if isinstance(given, (bool, list, dict)):
        raise InvalidValue(f"expected a number, got {shown(given)}")
    if isinstance(given, (int, float)):
        return _in_range(given, given)
    text = text_of(given).strip()
    if _COMMA_NUMBER.fullmatch(text):
        if not decimal_comma:
            if Kind.WHOLE in prop.kinds:
                raise InvalidValue(f"expected a number, got {text!r}")
            raise InvalidValue(f"expected a number, got {text!r}; write {text.replace(',', '.')!r}")
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        raise InvalidValue(f"expected a number, got {shown(given)}")
    digits = text.removeprefix("+").removeprefix("-")
    return _in_range(int(text) if digits.isdigit() else float(text), given)


def _in_range(number: int | float, given: Given) -> int | float:
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise InvalidValue(f"{shown(given)} is too large a number")
    return number


def _whole(prop: Property, given: Given, decimal_comma: bool) -> JSONValue:
    try:
        number = _number(prop, given, decimal_comma)
    except InvalidValue as unfit:
        raise InvalidValue(str(unfit).replace("a number", "a whole number", 1)) from None
    if isinstance(number, float) and not number.is_integer():
        raise InvalidValue(
            f"expected a whole number, got {shown(given)}; {round(number)} would be one"
        )
    return int(number)


def _list(prop: Property, given: Given, decimal_comma: bool) -> JSONValue:
    items = prop.items or Property(name=prop.name)
    values = _from_cell(given, items) if isinstance(given, (str, Written)) else given
    if not isinstance(values, list):
        raise InvalidValue(f"expected a list, got {shown(given)}")
    return [_part(items, f"entry {n}", one, decimal_comma) for n, one in enumerate(values, 1)]


def _part(prop: Property | None, name: str, given: Given, decimal_comma: bool) -> JSONValue:
    """Return an entry of a list or object in its type; a fault names the entry."""
    if prop is None or given is None:
        return _untyped_tree(given)
    try:
        return coerce(prop, given, decimal_comma=decimal_comma)
    except InvalidValue as unfit:
        raise InvalidValue(f"{name}: {unfit}") from None


def _from_cell(given: str | Written, items: Property) -> Given:
    """Read a cell that holds a list: JSON, or addresses, one per line."""
    text = text_of(given).strip()
    if text.startswith(("[", "{")):
        return _json(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if items.is_url or all(line.startswith(("https:", "http:", "data:")) for line in lines):
        return list(lines)
    raise InvalidValue(f'expected a list as JSON, such as ["a", "b"], got {shown(given)}')


def _object(prop: Property, given: Given, decimal_comma: bool) -> JSONValue:
    value = _json(text_of(given)) if isinstance(given, (str, Written)) else given
    if not isinstance(value, dict):
        raise InvalidValue(f'expected an object as JSON, such as {{"key": 1}}, got {shown(given)}')
    known = prop.properties
    return {key: _part(known.get(key), key, one, decimal_comma) for key, one in value.items()}


def _json(text: str) -> Given:
    try:
        value: Given = decode_json(text.encode(errors="surrogatepass"))
    except BadJSON as error:
        raise InvalidValue(f"is not valid JSON ({error}): {shown(text)}") from None
    return value


def _untyped(given: Given) -> JSONValue:
    """Return a value of no known type: JSON if it looks like it, else the text as it is."""
    if not isinstance(given, str):
        return _untyped_tree(given)
    text = given.strip()
    if text.startswith(("{", "[")) or text in ("true", "false") or _NUMBER.fullmatch(text):
        try:
            return _untyped_tree(_json(text))
        except InvalidValue:
            pass
    return clean_text(given)


def _untyped_tree(given: Given) -> JSONValue:
    """Return a nested value with its texts cleaned and its numbers in range."""
    value = plain(given)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_untyped_tree(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _untyped_tree(item) for key, item in value.items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _in_range(value, value)
    return value


_READERS: dict[Kind, Callable[[Property, Given, bool], JSONValue]] = {
    Kind.TRUTH: _truth,
    Kind.WHOLE: _whole,
    Kind.NUMBER: _number,
    Kind.LIST: _list,
    Kind.OBJECT: _object,
    Kind.TEXT: _text,
}
