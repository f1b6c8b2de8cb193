"""Model entries that travel with the program, for work without a network.

One JSON file a model, in the shape of a catalogue entry. They carry no price: a price is only
ever what the live catalogue says.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from batchgen.core.models import ModelEntry, read_entry


@cache
def packaged_models() -> dict[str, ModelEntry]:
    """Every packaged entry, by model_id."""
    entries = (
        read_entry(msgspec.json.decode(file.read_bytes()))
        for file in sorted(files(__name__).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".json")
    )
    return {entry.model_id: entry for entry in entries if entry is not None}
