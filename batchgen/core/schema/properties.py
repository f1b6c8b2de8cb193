"""Published schemas: each parameter in this program's words, and the rules as strict JSON Schema.

Nothing is checked here: limits are left to the compiled validator (`inputs`). It is given only
keywords whose values have the right form, and no reference that would have to be fetched. So a bad
keyword costs its own check, never the batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from batchgen.core.json_reader import JSONValue

MAX_DEPTH = 20
"""Levels of a schema that are read; real ones have three."""
MAX_PATTERN = 500
"""Characters of a `pattern` that is given to the validator."""


class Kind(StrEnum):
    """Type of a parameter, in the words of messages."""

    TRUTH = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a number"
    LIST = "a list"
    OBJECT = "an object"
    TEXT = "text"


KIND_OF_TYPE = {
    "string": Kind.TEXT, "str": Kind.TEXT, "text": Kind.TEXT,
    "integer": Kind.WHOLE, "int": Kind.WHOLE,
    "number": Kind.NUMBER, "float": Kind.NUMBER, "double": Kind.NUMBER,
    "boolean": Kind.TRUTH, "bool": Kind.TRUTH,
    "array": Kind.LIST, "list": Kind.LIST,
    "object": Kind.OBJECT, "dict": Kind.OBJECT,
}  # fmt: skip
"""Type names seen in published schemas and in the vendor's trainer forms."""
JSON_TYPE = {
    Kind.TEXT: "string", Kind.WHOLE: "integer", Kind.NUMBER: "number",
    Kind.TRUTH: "boolean", Kind.LIST: "array", Kind.OBJECT: "object",
}  # fmt: skip

URL_FORMATS = frozenset({"uri", "url", "image_uri", "video_uri", "audio_uri"})
URLS_FORMATS = frozenset({"uris", "urls", "image_uris", "video_uris", "audio_uris"})
_URL_NAME = re.compile(r"(^|_)(url|uri)s?(_?\d+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One parameter, or one value inside it."""

    name: str
    kinds: tuple[Kind, ...] = ()
    """The types that it takes, the strictest first; empty if the schema does not say."""
    choices: tuple[JSONValue, ...] = ()
    """The values of its enum; empty if there is none."""
    is_url: bool = False
    """A text that must be the address of a file."""
    items: Property | None = None
    properties: Mapping[str, Property] = field(default_factory=dict)


def read_property(name: str, raw: object, depth: int = 0) -> Property:
    """Read a parameter from its published schema; without a usable one, nothing but its name."""
    if not isinstance(raw, Mapping) or depth > MAX_DEPTH:
        return Property(name=name)
    variants = _variants(raw)
    kinds = {kind for variant in variants for kind in _kinds(variant)}
    choices = [choice for variant in variants for choice in _choices(variant)]
    return Property(
        name=name,
        kinds=tuple(kind for kind in Kind if kind in kinds),
        choices=tuple(choices) if all(_choices(v) for v in variants) else (),
        is_url=_is_url(name, raw, variants, kinds),
        items=_items(name, raw, variants, depth) if Kind.LIST in kinds else None,
        properties=_properties(variants, depth),
    )


def _variants(raw: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the alternatives of `anyOf` and `oneOf` that are not null, else the schema itself."""
    options = raw.get("anyOf") or raw.get("oneOf")
    found: list[Mapping[str, object]] = [
        {**raw, **option}
        for option in (options if isinstance(options, list) else [])
        if isinstance(option, Mapping) and option.get("type") != "null"
    ]
    return found or [raw]


def _kinds(raw: Mapping[str, object]) -> set[Kind]:
    """Return the types that are named, or else the one that the other keywords suggest."""
    names = [name.lower() for name in _as_list(raw.get("type")) if isinstance(name, str)]
    if kinds := {KIND_OF_TYPE[name] for name in names if name in KIND_OF_TYPE}:
        return kinds
    if isinstance(raw.get("properties"), Mapping):
        return {Kind.OBJECT}
    if "items" in raw or _format(raw) in URLS_FORMATS:
        return {Kind.LIST}
    return {Kind.TEXT} if _format(raw) in URL_FORMATS else set()


def _choices(raw: Mapping[str, object]) -> list[JSONValue]:
    if "const" in raw and isinstance(raw["const"], (str, int, float)):
        return [raw["const"]]
    values = raw.get("enum")
    values = values if isinstance(values, list) else []
    return [value for value in values if isinstance(value, (str, int, float))]


def _format(raw: Mapping[str, object]) -> str:
    value = raw.get("format")
    return value.lower() if isinstance(value, str) else ""


def _is_url(
    name: str, raw: Mapping[str, object], variants: list[Mapping[str, object]], kinds: set[Kind]
) -> bool:
    if Kind.TEXT not in kinds:
        return False
    return _URL_NAME.search(name) is not None or any(
        _format(one) in URL_FORMATS for one in (raw, *variants)
    )


def _items(
    name: str, raw: Mapping[str, object], variants: list[Mapping[str, object]], depth: int
) -> Property:
    """Read the entries of a list. Lists of addresses are published with and without `items`."""
    for variant in variants:
        items = variant.get("items")
        if isinstance(items, Mapping) and items:
            return read_property(name, items, depth + 1)
    urls = any(_format(one) in URLS_FORMATS for one in (raw, *variants))
    if urls or _URL_NAME.search(name):
        return Property(name=name, kinds=(Kind.TEXT,), is_url=True)
    return Property(name=name)


def _properties(variants: list[Mapping[str, object]], depth: int) -> Mapping[str, Property]:
    found: dict[str, Property] = {}
    for variant in variants:
        properties = variant.get("properties")
        if isinstance(properties, Mapping):
            found |= {str(k): read_property(str(k), v, depth + 1) for k, v in properties.items()}
    return found


def strict(raw: object, depth: int = 0) -> dict[str, object]:
    """Return the part of a schema that is safe to compile; `{}` if there is none."""
    if not isinstance(raw, Mapping) or depth > MAX_DEPTH:
        return {}
    found: dict[str, object] = {}
    for keyword, read in _KEYWORDS.items():
        if keyword in raw and (value := read(raw[keyword], depth)) is not None:
            found[keyword] = value
    if raw.get("nullable") is True and "type" in found:
        found["type"] = [*_as_list(found["type"]), "null"]
    properties, required = found.get("properties"), found.pop("required", None)
    if isinstance(required, list) and isinstance(properties, dict):
        # To demand a property that is not described would refuse every row.
        found["required"] = [name for name in required if name in properties]
    return found


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _type(value: object, _depth: int) -> object:
    names = []
    for name in _as_list(value):
        if name == "null":
            names.append("null")
        elif isinstance(name, str) and name.lower() in KIND_OF_TYPE:
            names.append(JSON_TYPE[KIND_OF_TYPE[name.lower()]])
    return list(dict.fromkeys(names)) or None


def _number(value: object, _depth: int) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and abs(value) < 2**63 else None


def _positive(value: object, depth: int) -> object:
    number = _number(value, depth)
    return number if isinstance(number, (int, float)) and number > 0 else None


def _count(value: object, depth: int) -> object:
    number = _number(value, depth)
    return int(number) if isinstance(number, (int, float)) and number >= 0 else None


def _pattern(value: object, _depth: int) -> object:
    if not isinstance(value, str) or len(value) > MAX_PATTERN:
        return None
    try:
        re.compile(value)
    except re.error:
        return None
    return value


def _names(value: object, _depth: int) -> object:
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys(name for name in value if isinstance(name, str)))


def _several(value: object, depth: int) -> object:
    if not isinstance(value, list):
        return None
    return [strict(one, depth + 1) for one in value if isinstance(one, Mapping)] or None


def _members(value: object, depth: int) -> object:
    if not isinstance(value, Mapping):
        return None
    return {str(name): strict(one, depth + 1) for name, one in value.items()}


_KEYWORDS: dict[str, Callable[[object, int], object]] = {
    "type": _type,
    "enum": lambda value, _: value if isinstance(value, list) and value else None,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _number,
    "exclusiveMaximum": _number,
    "multipleOf": _positive,
    "minLength": _count,
    "maxLength": _count,
    "pattern": _pattern,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": lambda value, _: value if isinstance(value, bool) else None,
    "items": lambda one, depth: strict(one, depth + 1) if isinstance(one, Mapping) else None,
    "properties": _members,
    "required": _names,
    "anyOf": _several,
    "allOf": _several,
}
