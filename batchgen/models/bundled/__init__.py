"""Model entries that travel with the program, for work without a network.

One JSON file a model, in the shape of a catalogue entry. They carry no price: a price is only
ever what the live catalogue says.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from batchgen.core.model_entry import ModelEntry, read_entry
from batchgen.core.schema import Schema


@cache
def packaged_models() -> dict[str, ModelEntry]:
    """Every packaged entry, by model_id."""
    entries = (
        read_entry(msgspec.json.decode(file.read_bytes()))
        for file in sorted(files(__name__).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".json")
    )
    return {entry.model_id: entry for entry in entries if entry is not None}


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
