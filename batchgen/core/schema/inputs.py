"""The schema of one model: its parameters by the names people use, and the check of an input.

One compiled validator per schema. A right input costs one call; what a validator found is put in
plain words: what is wrong, and what would be right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import jsonschema_rs

from batchgen.core.json_reader import JSONValue
from batchgen.core.schema.properties import Kind, Property, read_property, strict
from batchgen.core.schema.values import listed, shown

Rules = Mapping[str, object]

_SENTENCES = {
    "maximum": "{value} is above the maximum {limit}; {allowed}",
    "minimum": "{value} is below the minimum {limit}; {allowed}",
    "exclusiveMinimum": "{value} is not above {limit}",
    "exclusiveMaximum": "{value} is not below {limit}",
    "multipleOf": "{value} is not a multiple of {limit}{neighbours}",
    "maxLength": "has {length} characters, at most {limit} are allowed: {shown}",
    "minLength": "has {length} characters, at least {limit} are needed",
    "maxItems": "has {entries}, at most {limit} are allowed",
    "minItems": "has {entries}, at least {limit} are needed",
    "uniqueItems": "has the same entry twice",
    "enum": "{shown} is not allowed; allowed: {choices}",
    "type": "expected {types}, got {shown}",
    "pattern": "{shown} does not have the form {limit}",
}
"""Why a value breaks a keyword."""
_TYPE_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "array": "a list", "object": "an object", "null": "nothing",
}  # fmt: skip


def _explain(keyword: str, rules: Rules, value: JSONValue) -> str:
    """Return why `value` breaks `keyword` of `rules`, the part of the strict schema for it."""
    if keyword == "minLength" and not value:
        return "is empty"
    limit = rules.get(keyword)
    several = limit if isinstance(limit, list) else [limit]
    return _SENTENCES.get(keyword, "{shown} is not what the model takes").format(
        value=value,
        shown=shown(value),
        limit=limit,
        allowed=_allowed(rules),
        neighbours=_neighbours(value, limit),
        length=len(str(value)),
        entries=_entries(value),
        choices=listed(cast("list[JSONValue]", several)),
        types=" or ".join(_TYPE_WORDS.get(str(name), str(name)) for name in several),
    )


def _allowed(rules: Rules) -> str:
    """Return `allowed 0 to 1`, or the half of it that is known."""
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None and high is not None:
        return f"allowed {low} to {high}"
    return f"allowed {low} or more" if low is not None else f"allowed up to {high}"


def _neighbours(value: JSONValue, step: object) -> str:
    if not isinstance(value, (int, float)) or not isinstance(step, (int, float)) or step <= 0:
        return ""
    low = math.floor(value / step) * step
    return f"; nearest are {low} and {low + step}"


def _entries(value: JSONValue) -> str:
    count = len(value) if isinstance(value, (list, dict)) else 1
    return "1 entry" if count == 1 else f"{count} entries"


SIZE_KEY = "width×height"
"""The API's own key on some models, with U+00D7."""
SIZE_ALIASES = ("size", "resolution", "width_height", "widthxheight")
"""Names people use for it, if the model has no parameter of that name."""


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing that is wrong in an input."""

    parameter: str
    """The API's own key."""
    inside: str
    """The place inside it, `.key` and `[n]` with n from 1; empty for the whole."""
    what: str
    is_missing: bool = False
    """Whether it was not given at all, rather than given wrong."""

    def __str__(self) -> str:
        return f"{self.inside.removeprefix('.')}: {self.what}" if self.inside else self.what


class Schema:
    """Parameters of a model and the rules for them, from a published `input_schema`.

    Nothing is raised for a strange schema: what cannot be understood is not checked, and `notes`
    says so.
    """

    def __init__(self, raw: Mapping[str, object]) -> None:
        self.raw = raw
        """As published."""
        rules = strict(raw)
        properties = raw.get("properties")
        named = properties if isinstance(properties, Mapping) else {}
        self.properties: Mapping[str, Property] = {
            str(name): read_property(str(name), one) for name, one in named.items()
        }
        """By the API's own keys, in published order."""
        self.required: tuple[str, ...] = _strings(rules.get("required"))
        self._rules = {**rules, "type": "object", "required": list(self.required)}
        self._validator, self.notes = _compile(self._rules)
        self.notes += tuple(
            f"requires {name!r}, which it does not describe; not checked"
            for name in _strings(raw.get("required"))
            if name not in self.properties
        )
        self._names = _names(self.properties)

    def parameter(self, name: str) -> str | None:
        """Return the API's key for a name as people write it; None if it is not a parameter."""
        if name in self.properties:
            return name
        return self._names.get(name.strip().casefold())

    @property
    def aliases(self) -> tuple[str, ...]:
        """Friendlier names that this model's parameters may be called by."""
        return tuple(alias for alias in SIZE_ALIASES if self.parameter(alias) == SIZE_KEY)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a parameter may be called by, aliases too; for messages."""
        return (*self.properties, *self.aliases)

    @property
    def text_parameter(self) -> str | None:
        """What the prompt is called: `prompt`, else the first required text, else None."""
        if "prompt" in self.properties:
            return "prompt"
        for name in self.required:
            prop = self.properties[name]
            if Kind.TEXT in prop.kinds and not prop.is_url and not prop.choices:
                return name
        return None

    def check(self, values: Mapping[str, JSONValue]) -> tuple[InputFault, ...]:
        """Return what is wrong with an input, in plain words; nothing for a right one."""
        if self._validator is None or self._validator.is_valid(values):
            return ()
        found = (self._fault(error) for error in self._validator.iter_errors(values))
        return tuple(dict.fromkeys(fault for faults in found for fault in faults))

    def _fault(self, error: jsonschema_rs.ValidationError) -> list[InputFault]:
        path = list(error.instance_path)
        *place, keyword = error.schema_path
        rules = _at(self._rules, place)
        value = cast("JSONValue", error.instance)
        if keyword == "required":
            missing = _missing(rules, value)
            return [_fault([*path, name], "is missing", is_missing=not path) for name in missing]
        return [_fault(path, _explain(str(keyword), rules, value))]


def _fault(path: Sequence[str | int], what: str, *, is_missing: bool = False) -> InputFault:
    first, *rest = path or [""]
    inside = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in rest)
    return InputFault(str(first), inside, what, is_missing)


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _missing(rules: Mapping[str, object], instance: object) -> list[str]:
    given = instance if isinstance(instance, dict) else {}
    return [name for name in _strings(rules.get("required")) if name not in given]


def _at(rules: Mapping[str, object], path: Sequence[str | int]) -> Mapping[str, object]:
    """Return the part of the strict schema that a path of the validator leads to."""
    here: object = rules
    for step in path:
        if isinstance(here, Mapping) and step in here:
            here = here[str(step)]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
    return here if isinstance(here, Mapping) else {}


def _compile(
    rules: dict[str, object],
) -> tuple[jsonschema_rs.Validator | None, tuple[str, ...]]:
    try:
        return jsonschema_rs.Draft202012Validator(rules, validate_formats=False), ()
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return None, (f"its limits could not be read and are not checked ({error})",)


def _names(properties: Mapping[str, Property]) -> dict[str, str]:
    """Return API keys by the names people may write: any case, and friendlier ones for the size."""
    found: dict[str, str] = {}
    if SIZE_KEY in properties:
        found |= dict.fromkeys(SIZE_ALIASES, SIZE_KEY)
        found |= dict.fromkeys(("width x height", "width × height", "width*height"), SIZE_KEY)
    for name in properties:
        found[name.strip().casefold()] = name
    return found
