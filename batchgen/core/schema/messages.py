"""What a validator found, in plain words: what is wrong, and what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from batchgen.core.jobs import JSONValue
from batchgen.core.schema.choices import listed
from batchgen.core.schema.values import shown

Rules = Mapping[str, object]


def explain(keyword: str, rules: Rules, value: JSONValue) -> str:
    """Why `value` breaks `keyword` of `rules`, the strict schema that it stands in."""
    say = _WORDS.get(keyword)
    return say(rules, value) if say else f"{shown(value)} is not what the model takes"


def allowed_range(rules: Rules) -> str:
    """`allowed 0 to 1`, or the half of it that is known."""
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None and high is not None:
        return f"allowed {low} to {high}"
    return f"allowed {low} or more" if low is not None else f"allowed up to {high}"


def _above(rules: Rules, value: JSONValue) -> str:
    return f"{value} is above the maximum {rules['maximum']}; {allowed_range(rules)}"


def _below(rules: Rules, value: JSONValue) -> str:
    return f"{value} is below the minimum {rules['minimum']}; {allowed_range(rules)}"


def _not_above(rules: Rules, value: JSONValue) -> str:
    return f"{value} is not above {rules['exclusiveMinimum']}"


def _not_below(rules: Rules, value: JSONValue) -> str:
    return f"{value} is not below {rules['exclusiveMaximum']}"


def _multiple(rules: Rules, value: JSONValue) -> str:
    step = rules["multipleOf"]
    if not isinstance(value, (int, float)) or not isinstance(step, (int, float)):
        return f"{shown(value)} is not a multiple of {step}"
    low = math.floor(value / step) * step
    return f"{value} is not a multiple of {step}; nearest are {low} and {low + step}"


def _too_long(rules: Rules, value: JSONValue) -> str:
    limit = rules["maxLength"]
    return f"has {len(str(value))} characters, at most {limit} are allowed: {shown(value)}"


def _too_short(rules: Rules, value: JSONValue) -> str:
    if not value:
        return "is empty"
    return f"has {len(str(value))} characters, at least {rules['minLength']} are needed"


def _too_many(rules: Rules, value: JSONValue) -> str:
    return f"has {_entries(value)}, at most {rules['maxItems']} are allowed"


def _too_few(rules: Rules, value: JSONValue) -> str:
    return f"has {_entries(value)}, at least {rules['minItems']} are needed"


def _entries(value: JSONValue) -> str:
    count = len(value) if isinstance(value, (list, dict)) else 1
    return "1 entry" if count == 1 else f"{count} entries"


def _enum(rules: Rules, value: JSONValue) -> str:
    options = rules["enum"]
    allowed = listed(options if isinstance(options, list) else [])
    return f"{shown(value)} is not allowed; allowed: {allowed}"


def _type(rules: Rules, value: JSONValue) -> str:
    return f"expected {_type_words(rules.get('type'))}, got {shown(value)}"


def _type_words(names: object) -> str:
    listed_names = names if isinstance(names, list) else [names]
    return " or ".join(_TYPE_WORDS.get(str(name), str(name)) for name in listed_names)


def _pattern(rules: Rules, value: JSONValue) -> str:
    return f"{shown(value)} does not have the form {rules['pattern']}"


def _unique(_rules: Rules, _value: JSONValue) -> str:
    return "has the same entry twice"


_TYPE_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "array": "a list", "object": "an object", "null": "nothing",
}  # fmt: skip

_WORDS: dict[str, Callable[[Rules, JSONValue], str]] = {
    "maximum": _above,
    "minimum": _below,
    "exclusiveMinimum": _not_above,
    "exclusiveMaximum": _not_below,
    "multipleOf": _multiple,
    "maxLength": _too_long,
    "minLength": _too_short,
    "maxItems": _too_many,
    "minItems": _too_few,
    "enum": _enum,
    "type": _type,
    "pattern": _pattern,
    "uniqueItems": _unique,
}
