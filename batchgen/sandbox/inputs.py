"""Checks the input of a submission as the API is known to: by the model's own schema.

Published schemas use types of their own (`float`, `str`...). They are rewritten, unknown types are
dropped, and unknown keys of an input pass silently. The answer to a bad input (422 with a `detail`
list) is made up in the style of RunComfy's Serverless API; the Model API's own is not documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import jsonschema_rs

from batchgen.core.errors import UsageError

TYPES = {
    "float": "number", "double": "number", "int": "integer", "str": "string", "bool": "boolean",
    "list": "array", "dict": "object",
    **{name: name for name in
       ("number", "integer", "string", "boolean", "array", "object", "null")},
}  # fmt: skip
"""Types of published schemas in the words of JSON Schema."""

MESSAGE_LIMIT = 300

Detail = dict[str, object]
"""One fault of an input: `loc` (path from "body"), `msg`, `type`."""


class InputCheck:
    """The compiled schema of one model. Raises `UsageError` where it is no JSON Schema."""

    def __init__(self, model_id: str, schema: Mapping[str, object]) -> None:
        rewritten = standard(schema)
        if rewritten.get("additionalProperties") is False:
            del rewritten["additionalProperties"]
        rewritten["type"] = "object"
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                rewritten, retriever=_no_network, mask="the value"
            )
        except ValueError as problem:
            reason = str(problem).splitlines()[0][:MESSAGE_LIMIT]
            message = f"model {model_id!r}: its input_schema is no JSON Schema: {reason}"
            raise UsageError(message) from None
        self._required = tuple(_names(schema.get("required")))

    def problems(self, body: object) -> list[Detail]:
        """What is wrong with a decoded body; empty where nothing is."""
        if self._validator.is_valid(body):
            return []
        return [_detail(error) for error in self._validator.iter_errors(body)]

    def prompt(self, body: object) -> str:
        """The text that drives the model: `prompt`, else the first required text of the input."""
        if not isinstance(body, Mapping):
            return ""
        texts = (body.get(name) for name in ("prompt", *self._required))
        return next((text for text in texts if isinstance(text, str)), "")


def standard(schema: Mapping[str, object]) -> dict[str, object]:
    """A published schema as JSON Schema: its types rewritten, all else as it is."""
    return {
        key: value
        for key, old in schema.items()
        if (value := _keyword(key, old)) is not None or old is None
    }


def _keyword(key: str, value: object) -> object:
    """One keyword with its value rewritten; None drops it."""
    if key == "type":
        names = [TYPES[name] for name in _names(value) if name in TYPES]
        return names or None
    if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {name: _subschema(sub) for name, sub in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        return [_subschema(sub) for sub in value]
    if key in ("items", "additionalProperties", "not"):
        return _subschema(value)
    return value


def _subschema(value: object) -> object:
    return standard(value) if isinstance(value, Mapping) else value


def _names(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _no_network(uri: str) -> NoReturn:
    message = f"schemas are not fetched: {uri}"
    raise ValueError(message)


_LABELS = {
    "required": "missing",
    "maxLength": "string_too_long",
    "minLength": "string_too_short",
    "minimum": "greater_than_equal",
    "maximum": "less_than_equal",
    "type": "type_error",
}


def _detail(error: jsonschema_rs.ValidationError) -> Detail:
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    place: list[object] = ["body", *error.instance_path]
    if keyword == "required" and (name := getattr(error.kind, "property", None)):
        place.append(name)
    return {
        "loc": place,
        "msg": error.message[:MESSAGE_LIMIT],
        "type": _LABELS.get(keyword, keyword),
    }
