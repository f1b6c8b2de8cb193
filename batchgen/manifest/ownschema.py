"""The schema that a manifest brings along with `schema:`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.schema import Schema
from batchgen.manifest.places import confined

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
