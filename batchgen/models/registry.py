"""The best description of a model at hand: pinned, live, cached or packaged.

Synchronous, because manifests are read so. The live catalogue is asked once for each model, and
not at all if a fresh entry is cached; if asking fails, what is at hand is used and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from batchgen.core.json_reader import JSONValue
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry, SchemaOrigin, estimate_usd
from batchgen.core.schema.inputs import Schema
from batchgen.models.cache import CachedEntry, CatalogueCache, age_text
from batchgen.models.pinned import PINNED, PinnedSchemas

Ask: TypeAlias = Callable[[str], ModelEntry | NoCatalogueEntry]
"""Asks the live catalogue about a model; bounded in time, never raises."""

LIVE = "the live catalogue"
PACKAGE = "the package"
NOWHERE = "nowhere"
SHOWN_MODELS = 3
"""Named in one note."""


class Price(NamedTuple):
    """The price that the catalogue asks for."""

    usd: float
    unit: str
    """`output`, `second`, or another word; empty if it is not told."""
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """An entry and where it came from, for the user."""

    entry: ModelEntry
    origin: str


class ModelRegistry:
    """Schemas and prices of models (a `SchemaSource` of the manifest).

    Without `ask` no network is used; `refresh` asks even if the cache is fresh.
    """

    def __init__(
        self,
        *,
        packaged: Mapping[str, ModelEntry],
        cache: CatalogueCache | None = None,
        pinned: PinnedSchemas | None = None,
        ask: Ask | None = None,
        refresh: bool = False,
    ) -> None:
        self._packaged = packaged
        self._cache = cache
        self._pinned = pinned
        self._ask = ask
        self._refresh = refresh
        self._with_schema: dict[str, Sourced | None] = {}
        self._listed: dict[str, tuple[Sourced, ...]] = {}
        self._away: NoCatalogueEntry | None = None
        self._failures: dict[str, list[str]] = {}
        self._old_prices: dict[str, None] = {}
        self._priced: dict[str, ModelEntry | None] = {}

    def schema_for(self, model_id: str) -> Schema | None:
        """Return the input schema of a model, None if none is known."""
        found = self._schema_entry(model_id)
        return Schema(found.entry.input_schema or {}) if found else None

    def origin_of(self, model_id: str) -> str:
        """Return where that schema came from: `the package`, `the catalogue, 2 h old`."""
        found = self._schema_entry(model_id)
        return found.origin if found else NOWHERE

    def catalogue_origin(self, model_id: str) -> str:
        """Return where texts and price came from: the catalogue, live or cached, or nowhere."""
        listed = self._from_catalogue(model_id)
        return listed[0].origin if listed else NOWHERE

    def price_of(self, model_id: str) -> Price | None:
        """Return the price of the catalogue, else the one that the run directory kept, if any."""
        entry = self._price_entry(model_id)
        if entry is None or entry.base_price_usd is None:
            return None
        return Price(entry.base_price_usd, entry.price_unit or "", entry.pricing_note)

    def estimate_usd(self, model_id: str, values: Mapping[str, JSONValue]) -> float | None:
        """Return what one job will cost; None if that cannot be known."""
        if model_id not in self._priced:
            self._priced[model_id] = self._priced_entry(model_id)
        entry = self._priced[model_id]
        return None if entry is None else estimate_usd(entry, values)

    def _priced_entry(self, model_id: str) -> ModelEntry | None:
        """Return the entry with the price, and with the schema that decides if it has none."""
        entry = self._price_entry(model_id)
        if entry is None or entry.input_schema:
            return entry
        described = self._schema_entry(model_id)
        return replace(entry, input_schema=described.entry.input_schema if described else None)

    def entry_for(self, model_id: str) -> ModelEntry | None:
        """Return what a run directory should keep of a model.

        Texts and price are those of the catalogue, the schema is the one that decides.
        """
        described = self._schema_entry(model_id)
        candidates = (*self._from_catalogue(model_id), described, *self._from_package(model_id))
        base = next((found for found in candidates if found), None)
        if base is None:
            return None
        schema = described.entry.input_schema if described else None
        return replace(base.entry, input_schema=schema)

    @property
    def away(self) -> str:
        """Why the live catalogue is no longer asked; empty if it may be."""
        return self._away.why if self._away else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know; grows with what is asked for."""
        return (
            *(self._failure_note(why, models) for why, models in self._failures.items()),
            *(f"the price of {name} is the one of the first run" for name in self._old_prices),
        )

    def _failure_note(self, why: str, models: list[str]) -> str:
        used = [f"{name}: {self.origin_of(name)}" for name in models[:SHOWN_MODELS]]
        more = f" and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
        instead = f"used instead for {', '.join(used)}{more}"
        return f"the live catalogue gave no description ({why}); {instead}"

    def _schema_entry(self, model_id: str) -> Sourced | None:
        """Return the entry whose schema decides: the first that has one, by `SchemaOrigin`."""
        if model_id not in self._with_schema:
            sources = {
                SchemaOrigin.RUN_DIRECTORY: self._from_run_directory,
                SchemaOrigin.CATALOGUE: self._from_catalogue,
                SchemaOrigin.PACKAGE: self._from_package,
            }
            entries = (
                found
                for origin in SchemaOrigin
                if origin in sources
                for found in sources[origin](model_id)
            )
            self._with_schema[model_id] = next(
                (found for found in entries if found.entry.input_schema), None
            )
        return self._with_schema[model_id]

    def _price_entry(self, model_id: str) -> ModelEntry | None:
        listed = self._from_catalogue(model_id)
        if listed and listed[0].entry.base_price_usd is not None:
            return listed[0].entry
        for pinned in self._from_run_directory(model_id):
            if pinned.entry.base_price_usd is not None:
                self._old_prices[model_id] = None
                return pinned.entry
        return None

    def _from_run_directory(self, model_id: str) -> tuple[Sourced, ...]:
        entry = self._pinned.entry(model_id) if self._pinned else None
        return (Sourced(entry=entry, origin=PINNED),) if entry else ()

    def _from_package(self, model_id: str) -> tuple[Sourced, ...]:
        entry = self._packaged.get(model_id)
        return (Sourced(entry=entry, origin=PACKAGE),) if entry else ()

    def _from_catalogue(self, model_id: str) -> tuple[Sourced, ...]:
        """Return the entries of the catalogue, the live one first.

        The first supplies the price. A cached one is behind it only if the live one has no schema.
        """
        if model_id not in self._listed:
            cached = self._cache.get(model_id) if self._cache else None
            live = None
            if cached is None or cached.is_stale or self._refresh:
                live = self._live(model_id, cached)
            found = [Sourced(entry=live, origin=LIVE)] if live else []
            if cached is not None and not (live and live.input_schema):
                origin = f"the catalogue, {age_text(cached.age_s)}"
                found.append(Sourced(entry=cached.entry, origin=origin))
            self._listed[model_id] = tuple(found)
        return self._listed[model_id]

    def _live(self, model_id: str, cached: CachedEntry | None) -> ModelEntry | None:
        if self._ask is None:
            return None
        answer = self._away or self._ask(model_id)
        if isinstance(answer, NoCatalogueEntry):
            self._failures.setdefault(answer.why, []).append(model_id)
            # One wait of some seconds is enough: a manifest may name hundreds of models.
            self._away = None if answer.reached else answer
            return None
        would_hide_schema = cached and cached.entry.input_schema and not answer.input_schema
        if self._cache is not None and not would_hide_schema:
            self._cache.put(answer)
        return answer
