"""The models that the rows name, each with its schema: the manifest's own first."""

from __future__ import annotations

from batchgen.core.schema import Schema
from batchgen.manifest.header import Header, folded
from batchgen.manifest.ownschema import OwnSchema
from batchgen.manifest.recipe import Recipe
from batchgen.manifest.shape import SchemaSource
from batchgen.manifest.target import Target

MAX_TARGETS = 500
"""Models that are kept; more than the catalogue has."""


class Models:
    """Targets by model, built when the first row names one."""

    def __init__(
        self,
        recipe: Recipe,
        schemas: SchemaSource,
        *,
        own: OwnSchema | None = None,
        kept: SchemaSource | None = None,
    ) -> None:
        self._recipe = recipe
        self._schemas = schemas
        self._own = own
        self._kept = kept
        self._targets: dict[str, Target] = {}
        self._columns: dict[Header, int | None] = {}
        self.origins: dict[str, str] = {}
        """Where the schema of each model came from, for people."""
        self.schemas: dict[str, Schema] = {}
        """The schema of each model that has one."""
        self.notes: dict[str, None] = {}
        """What a person should know and need not do anything about, each once."""

    def target(self, model: str) -> Target:
        """The model under this manifest's recipe."""
        if model not in self._targets:
            if len(self._targets) > MAX_TARGETS:
                self._targets.clear()
            self._targets[model] = Target(model, self._schema(model), self._recipe)
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
