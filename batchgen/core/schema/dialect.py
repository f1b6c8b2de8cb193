"""A published schema as strict JSON Schema, with everything left out that is not understood.

The validator is given only keywords whose values have the right form, and no reference that
would have to be fetched. A bad keyword costs its own check, never the batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from batchgen.core.schema.properties import KIND_OF_TYPE, MAX_DEPTH, Kind

JSON_TYPE = {
    Kind.TEXT: "string", Kind.WHOLE: "integer", Kind.NUMBER: "number",
    Kind.TRUTH: "boolean", Kind.LIST: "array", Kind.OBJECT: "object",
}  # fmt: skip
MAX_PATTERN = 500
"""Characters of a `pattern` that is given to the validator."""


def strict(raw: object, depth: int = 0) -> dict[str, object]:
    """The part of a schema that a validator can be trusted with; `{}` where there is none."""
    if not isinstance(raw, Mapping) or depth > MAX_DEPTH:
        return {}
    found: dict[str, object] = {}
    for keyword, read in _KEYWORDS.items():
        if keyword in raw and (value := read(raw[keyword], depth)) is not None:
            found[keyword] = value
    if raw.get("nullable") is True and "type" in found:
        found["type"] = [*_as_list(found["type"]), "null"]
    _narrow_required(found)
    return found


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _narrow_required(found: dict[str, object]) -> None:
    """`required` may name what does not exist; asking for that would refuse every row."""
    properties = found.get("properties")
    required = found.pop("required", None)
    if isinstance(required, list) and isinstance(properties, dict):
        found["required"] = [name for name in required if name in properties]


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


def _truth(value: object, _depth: int) -> object:
    return value if isinstance(value, bool) else None


def _pattern(value: object, _depth: int) -> object:
    if not isinstance(value, str) or len(value) > MAX_PATTERN:
        return None
    try:
        re.compile(value)
    except re.error:
        return None
    return value


def _enum(value: object, _depth: int) -> object:
    return value if isinstance(value, list) and value else None


def _names(value: object, _depth: int) -> object:
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys(name for name in value if isinstance(name, str)))


def _one(value: object, depth: int) -> object:
    return strict(value, depth + 1) if isinstance(value, Mapping) else None


def _several(value: object, depth: int) -> object:
    if not isinstance(value, list) or not value:
        return None
    return [strict(one, depth + 1) for one in value if isinstance(one, Mapping)] or None


def _members(value: object, depth: int) -> object:
    if not isinstance(value, Mapping):
        return None
    return {str(name): strict(one, depth + 1) for name, one in value.items()}


_KEYWORDS: dict[str, Callable[[object, int], object]] = {
    "type": _type,
    "enum": _enum,
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
    "uniqueItems": _truth,
    "items": _one,
    "properties": _members,
    "required": _names,
    "anyOf": _several,
    "allOf": _several,
}
