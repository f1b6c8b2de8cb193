"""Model entries that are packaged with the program, for work without a network.

One JSON file per model, in the form of a catalogue entry. They have no price: only the live
catalogue knows prices.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from batchgen.core.model_entry import ModelEntry, read_entry


@cache
def packaged_models() -> dict[str, ModelEntry]:
    """Return every packaged entry, by model_id."""
    entries = (
        read_entry(msgspec.json.decode(file.read_bytes()))
        for file in sorted(files(__name__).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".json")
    )
    return {entry.model_id: entry for entry in entries if entry is not None}
