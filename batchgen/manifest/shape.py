"""What shapes the jobs besides the manifest itself, and where schemas come from.

`Shape` is what the command line says; it is plain and can be kept and used again by a later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from batchgen.core.schema import Schema
from batchgen.packaged import packaged_models


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the command line says about how rows become jobs."""

    model: str | None = None
    """For rows that name none; beats the manifest's own `model`."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Values of parameters as text; they beat `defaults` and are beaten by a row."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our word or a parameter -> the column that holds it, or a template over columns."""
    format: str | None = None
    """`csv`, `tsv`, `jsonl`, `ndjson`, `json`, `xlsx`, `txt`, `yaml`; None: by the file's name."""
    sheet: str | None = None
    select: str | None = None
    """`COLUMN OP VALUE` joined by `and`; see `Selection`."""
    allow_outside: bool = False
    """Whether `file:` and `schema:` may leave the manifest's directory."""
    no_validate: bool = False
    """Use a schema for names and types only, and check no value against it."""


class SchemaSource(Protocol):
    """Where the schemas of models come from; the manifest's own `schema:` is asked first."""

    def schema_for(self, model_id: str) -> Schema | None:
        """The input schema of a model, None where none is known. Called once a model."""

    def origin_of(self, model_id: str) -> str:
        """Where that schema came from, for people: `the package`, `the catalogue, 2 h old`."""


class PackagedSchemas:
    """The schemas that travel with the program."""

    def schema_for(self, model_id: str) -> Schema | None:
        """The packaged schema of a model, None where there is none."""
        return _packaged(model_id)

    def origin_of(self, model_id: str) -> str:
        """Always the package."""
        return "the package" if _packaged(model_id) else "nowhere"


@cache
def _packaged(model_id: str) -> Schema | None:
    entry = packaged_models().get(model_id)
    if entry is None or entry.input_schema is None:
        return None
    return Schema(entry.input_schema)
