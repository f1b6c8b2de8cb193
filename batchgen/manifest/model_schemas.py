"""The models that the rows name, each with its schema: the manifest's own first.

The schema that a manifest brings along with `schema:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.schema import Schema
from batchgen.manifest.header import Header, folded
from batchgen.manifest.model_binding import ModelBinding
from batchgen.manifest.settings import RowSettings, SchemaSource
from batchgen.manifest.source_files import confined

MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSchema:
    """A schema from a file beside the manifest."""

    schema: Schema
    file: str
    model: str | None
    """The model that it is for; None: every one that the rows name."""

    def is_for(self, model: str) -> bool:
        """Whether it describes this model."""
        return self.model is None or self.model == model


def read_own_schema(
    name: str, base_dir: Path, *, allow_outside: bool, where: str, model: str | None
) -> OwnSchema:
    """A file with a bare schema, or with a whole catalogue entry, which names its model itself.

    Raises `ManifestError` for what is neither, `ManifestNotFound` where there is no such file.
    """
    path = confined(name, base_dir, allow_outside=allow_outside, where=where)
    entry = _decoded(path, name, where)
    schema = entry.get("input_schema", entry)
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        what = f"{name!r} is no schema: expected an object with `properties`"
        raise ManifestError([Problem(where, what)])
    named = entry.get("model_id")
    return OwnSchema(
        schema=Schema(schema), file=name, model=named if isinstance(named, str) else model
    )


def _decoded(path: Path, name: str, where: str) -> Mapping[str, object]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError([Problem(where, f"{name!r} is too large for a schema")])
        value = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, OSError) as error:
        raise ManifestError([Problem(where, f"{name!r} is no JSON: {error}")]) from None
    return value if isinstance(value, dict) else {}


MAX_TARGETS = 500
"""Models that are kept; more than the catalogue has."""


class ModelSchemas:
    """Targets by model, built when the first row names one."""

    def __init__(
        self,
        recipe: RowSettings,
        schemas: SchemaSource,
        *,
        own: OwnSchema | None = None,
        kept: SchemaSource | None = None,
    ) -> None:
        self._recipe = recipe
        self._schemas = schemas
        self._own = own
        self._kept = kept
        self._targets: dict[str, ModelBinding] = {}
        self._columns: dict[Header, int | None] = {}
        self.origins: dict[str, str] = {}
        """Where the schema of each model came from, for people."""
        self.schemas: dict[str, Schema] = {}
        """The schema of each model that has one."""
        self.notes: dict[str, None] = {}
        """What a person should know and need not do anything about, each once."""

    def target(self, model: str) -> ModelBinding:
        """The model under this manifest's recipe."""
        if model not in self._targets:
            if len(self._targets) > MAX_TARGETS:
                self._targets.clear()
            self._targets[model] = ModelBinding(model, self._schema(model), self._recipe)
        return self._targets[model]

    def _schema(self, model: str) -> Schema | None:
        schema, origin = self._found(model)
        self._note(model, schema)
        self.origins[model] = origin
        if schema is not None:
            self.schemas[model] = schema
        return schema

    def _found(self, model: str) -> tuple[Schema | None, str]:
        """The kept one first: types decide identity, and that must not change under a batch."""
        if self._kept and (schema := self._kept.schema_for(model)):
            return schema, self._kept.origin_of(model)
        if self._own is not None and self._own.is_for(model):
            return self._own.schema, f"{self._own.file}, which the manifest names"
        if schema := self._schemas.schema_for(model):
            return schema, self._schemas.origin_of(model)
        return None, "nowhere"

    def _note(self, model: str, schema: Schema | None) -> None:
        if schema is None:
            self.notes[f"no schema is known for {model}: nothing of its rows was validated"] = None
        elif not self._recipe.validate:
            self.notes[f"validation is switched off: the rows of {model} were not checked"] = None
        for note in schema.notes if schema else ():
            self.notes[f"the schema of {model} {note}"] = None

    def column_of(self, header: Header) -> int | None:
        """Which column of a header names the model."""
        try:
            return self._columns[header]
        except KeyError:
            index = self._columns[header] = self._find(header)
            return index

    def _find(self, header: Header) -> int | None:
        if len(self._columns) > MAX_TARGETS:
            self._columns.clear()
        wanted = self._recipe.columns.get("model", "model")
        names = [folded(name) for name in header.names]
        if not isinstance(wanted, str) or folded(wanted) not in names:
            return None
        index = names.index(folded(wanted))
        return None if index in header.ignored else index
