"""The models that the sandbox knows, their prices, and the check of inputs against their schemas.

An entry is the JSON object of the live catalogue (`model_id`, `input_schema`, ...); everything but
the id may be missing. A file holds one entry, a list of entries, or `{"models": [...]}`. If an
entry names no price, one is made up, and `pricing_note` says so.

Published schemas use types of their own (`float`, `str`...). They are rewritten; unknown types are
dropped, and unknown keys of an input pass silently, as they do in the API. The answer to a bad
input (422 with a `detail` list) is made up in the style of RunComfy's Serverless API, because that
of the Model API is not documented. None of this is shared with `core/schema`: a mistake in what
batchgen takes a schema to mean must show in a sandbox run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import jsonschema_rs

from batchgen.core.errors import UsageError
from batchgen.core.json_reader import decode_json
from batchgen.core.model_entry import ModelEntry, is_model_id, read_entry
from batchgen.models.bundled import packaged_models
from batchgen.sandbox.faults.kinds import Edit
from batchgen.sandbox.http_answer import BAD_INPUT, MALFORMED_ID, UNKNOWN, Answer, error, of_json

TYPES = {
    "float": "number", "double": "number", "int": "integer", "str": "string", "bool": "boolean",
    "list": "array", "dict": "object",
    **{name: name for name in
       ("number", "integer", "string", "boolean", "array", "object", "null")},
}  # fmt: skip
"""Types of published schemas -> types of JSON Schema."""

MESSAGE_LIMIT = 300
MADE_UP = "made up by the sandbox; the live catalogue has the price"
DEFAULT_DURATION_S = 5.0
"""Assumed for an input without a duration, if the model is priced by the second."""
PAGE_LIMIT = 100
KINDS = ("image", "video", "audio")

_LABELS = {
    "required": "missing",
    "maxLength": "string_too_long",
    "minLength": "string_too_short",
    "minimum": "greater_than_equal",
    "maximum": "less_than_equal",
    "type": "type_error",
}
"""Keyword of JSON Schema -> `type` of a problem."""

Problem = dict[str, object]
"""One thing wrong with an input: `loc` (path from "body"), `msg`, `type`."""


class InputCheck:
    """The compiled schema of one model. Raises `UsageError` if it is not a valid JSON Schema."""

    def __init__(self, model_id: str, schema: Mapping[str, object]) -> None:
        rewritten = _standard(schema)
        if rewritten.get("additionalProperties") is False:
            del rewritten["additionalProperties"]
        rewritten["type"] = "object"
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                rewritten, retriever=_no_network, mask="the value"
            )
        except ValueError as problem:
            reason = str(problem).splitlines()[0][:MESSAGE_LIMIT]
            message = f"model {model_id!r}: its input_schema is not a valid JSON Schema: {reason}"
            raise UsageError(message) from None
        self._required = tuple(_names(schema.get("required")))

    def problems(self, body: object) -> list[Problem]:
        """Return everything that is wrong with a decoded body."""
        if self._validator.is_valid(body):
            return []
        return [_problem(error) for error in self._validator.iter_errors(body)]

    def prompt(self, body: object) -> str:
        """Return `prompt`, or else the first required text of the input."""
        if not isinstance(body, Mapping):
            return ""
        texts = (body.get(name) for name in ("prompt", *self._required))
        return next((text for text in texts if isinstance(text, str)), "")


def _standard(schema: Mapping[str, object]) -> dict[str, object]:
    """Return a published schema as JSON Schema: its types rewritten, everything else as it is."""
    rewritten = {key: _keyword(key, value) for key, value in schema.items()}
    if rewritten.get("type") == []:
        del rewritten["type"]
    return rewritten


def _keyword(key: str, value: object) -> object:
    """Return the value of one keyword, rewritten."""
    if key == "type":
        return [TYPES[name] for name in _names(value) if name in TYPES]
    if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {name: _subschema(sub) for name, sub in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        return [_subschema(sub) for sub in value]
    if key in ("items", "additionalProperties", "not"):
        return _subschema(value)
    return value


def _subschema(value: object) -> object:
    return _standard(value) if isinstance(value, Mapping) else value


def _names(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _no_network(uri: str) -> NoReturn:
    message = f"schemas are not fetched: {uri}"
    raise ValueError(message)


def _problem(error: jsonschema_rs.ValidationError) -> Problem:
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    path: list[object] = ["body", *error.instance_path]
    if keyword == "required" and (name := getattr(error.kind, "property", None)):
        path.append(name)
    return {
        "loc": path,
        "msg": error.message[:MESSAGE_LIMIT],
        "type": _LABELS.get(keyword, keyword),
    }


@dataclass(frozen=True, slots=True)
class Model:
    """One model that jobs can be submitted to."""

    entry: ModelEntry
    check: InputCheck
    kind: str
    """Of its outputs: image, video or audio."""

    @property
    def suffix(self) -> str:
        """The file name extension of its outputs."""
        return "wav" if self.kind == "audio" else "png"

    def price_microusd(self, values: Mapping[str, object], outputs: int) -> int:
        """Return the price of one job, in millionths of a USD."""
        units = _duration_s(values) if self.entry.price_unit == "second" else outputs
        return round((self.entry.base_price_usd or 0.0) * units * 1_000_000)


def _duration_s(values: Mapping[str, object]) -> float:
    seconds = values.get("duration")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return DEFAULT_DURATION_S
    return float(seconds)


class SandboxCatalogue:
    """All models by id. Raises `UsageError` for entries that cannot be read."""

    def __init__(self, added: Iterable[Path | ModelEntry], *, price_usd: float) -> None:
        entries = dict(packaged_models())
        for item in added:
            found = [item] if isinstance(item, ModelEntry) else _read(item)
            entries.update((entry.model_id, entry) for entry in found)
        self.models = {
            name: _model(_completed(entry, price_usd)) for name, entry in sorted(entries.items())
        }

    def model_or_bare(self, model_id: str) -> Model:
        """Return a model by its id; one without a schema if the catalogue no longer has it."""
        return self.models.get(model_id) or _model(_completed(ModelEntry(model_id=model_id), 0.0))

    def listing(self, query: Mapping[str, str], edit: Edit) -> Answer:
        """Answer `GET /v1/models` with these parameters, after an edit of every entry."""
        try:
            limit, offset = int(query.get("limit", PAGE_LIMIT)), int(query.get("offset", 0))
        except ValueError:
            limit = offset = -1
        if limit < 1 or offset < 0:
            message = "limit must be a whole number of at least 1, offset one of at least 0"
            return error(BAD_INPUT, message)
        found = self._matching(query.get("search", "").lower(), query.get("category", ""))
        schemas = query.get("include_schema") == "true"
        edited = (edit(_described(entry, schema=schemas)) for entry in found)
        listed = [entry for entry in edited if entry is not None]
        page = listed[offset : offset + min(limit, PAGE_LIMIT)]
        return of_json({"models": page, "total": len(listed)})

    def one(self, model_id: str, edit: Edit) -> Answer:
        """Answer `GET /v1/models/{id}`, after an edit of the entry."""
        model = self.models.get(model_id)
        entry = edit(_described(model.entry, schema=True)) if model else None
        return no_model(model_id) if entry is None else of_json(entry)

    def _matching(self, search: str, category: str) -> list[ModelEntry]:
        return [
            model.entry
            for model in self.models.values()
            if search in f"{model.entry.model_id} {model.entry.display_name}".lower()
            and (not category or category in model.entry.categories)
        ]

    def categories(self) -> list[str]:
        """Return the names of all categories, sorted."""
        return sorted({name for model in self.models.values() for name in model.entry.categories})


def no_model(model_id: str) -> Answer:
    """Return the error for an id that is malformed or not in the catalogue."""
    if not is_model_id(model_id):
        return error(MALFORMED_ID, f"{model_id!r} is not a model id")
    return error(UNKNOWN, f"model {model_id!r} does not exist")


def _described(entry: ModelEntry, *, schema: bool) -> dict[str, object]:
    """Return an entry as the API lists it, with the fields that clients of the vendor read."""
    listed: dict[str, object] = {
        "model_id": entry.model_id,
        "display_name": entry.display_name or entry.model_id,
        "kind": "model",
        "categories": entry.categories,
        "model_url": entry.model_url,
        "base_price_usd": entry.base_price_usd,
        "price_unit": entry.price_unit,
        "pricing_note": entry.pricing_note,
    }
    if schema:
        listed["input_schema"] = entry.input_schema or {}
    return listed


def _completed(entry: ModelEntry, price_usd: float) -> ModelEntry:
    """Return the entry with a price and categories, which live entries have."""
    if entry.base_price_usd is None:
        entry = replace(entry, base_price_usd=price_usd, price_unit="output", pricing_note=MADE_UP)
    if not entry.categories:
        ends = tuple(f"-to-{kind}" for kind in KINDS)
        named = tuple(part for part in entry.model_id.split("/") if part.endswith(ends))
        entry = replace(entry, categories=named)
    return entry


def _model(entry: ModelEntry) -> Model:
    kinds = (kind for name in entry.categories for kind in KINDS if name.endswith(kind))
    check = InputCheck(entry.model_id, entry.input_schema or {})
    return Model(entry=entry, check=check, kind=next(kinds, "image"))


def _read(path: Path) -> Iterator[ModelEntry]:
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            yield from _read(file)
        return
    try:
        content = decode_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path}: model entries cannot be read: {problem}") from None
    listed = content.get("models", content) if isinstance(content, dict) else content
    for item in listed if isinstance(listed, list) else [listed]:
        entry = read_entry(item)
        if entry is None or not is_model_id(entry.model_id):
            message = (
                f"{path}: not a catalogue entry: it needs a 'model_id' such as 'maker/model/task'"
            )
            raise UsageError(message)
        yield entry
