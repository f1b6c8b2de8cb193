"""Catalogue entries and caches for tests."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.api_base import DEFAULT_BASE_URL, parse_base_url
from batchgen.core.model_entry import ModelEntry
from batchgen.models.cache import CatalogueCache
from batchgen.system.clock import SystemClock

REAL = parse_base_url(DEFAULT_BASE_URL)
HOUR_S = 3600.0


class SetClock(SystemClock):
    """A clock that shows what a test sets."""

    at_s = 1_000_000.0

    def now_s(self) -> float:
        return self.at_s


def entry(model_id: str = "a/b", *, price: float | None = 0.03, **more: object) -> ModelEntry:
    """A catalogue entry with a schema of one parameter."""
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    told = {"input_schema": schema, "price_unit": "output", **more}
    return ModelEntry(model_id=model_id, base_price_usd=price, **told)  # type: ignore[arg-type]


def cache(directory: Path, clock: SetClock, base_url: str = DEFAULT_BASE_URL) -> CatalogueCache:
    return CatalogueCache(directory, parse_base_url(base_url), clock)
