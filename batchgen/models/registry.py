"""The best description of a model that is at hand: kept, live, cached or packaged.

Synchronous, because manifests are read so. What the catalogue says is asked for once a model, and
not at all where something fresh is cached; where asking fails, what is there is used and a note
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

from batchgen.core.jobs import JSONValue
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry, estimate_usd
from batchgen.core.schema import Schema
from batchgen.models.cache import CatalogueCache

Ask: TypeAlias = Callable[[str], ModelEntry | NoCatalogueEntry]
"""Asks the live catalogue about a model; bounded in time, never raises."""

KEPT = "the run directory, where the first run kept it"
LIVE = "the live catalogue"
PACKAGE = "the package"
NOWHERE = "nowhere"
SHOWN_MODELS = 3
"""Named in one note."""


class PinnedEntries(Protocol):
    """The schemas that a run directory began with."""

    def entry(self, model_id: str) -> ModelEntry | None:
        """The entry whose schema was used first, None where the model is new there."""


class Price(NamedTuple):
    """What the catalogue asks for."""

    usd: float
    unit: str
    """`output`, `second`, or another word; empty where it is not told."""
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """An entry and where it came from, for people."""

    entry: ModelEntry
    origin: str


class ModelRegistry:
    """Schemas and prices of models (a `SchemaSource` of the manifest).

    `ask` None means that no network is wanted; `refresh` asks even where the cache is fresh.
    """

    def __init__(
        self,
        *,
        packaged: Mapping[str, ModelEntry],
        cache: CatalogueCache | None = None,
        kept: PinnedEntries | None = None,
        ask: Ask | None = None,
        refresh: bool = False,
    ) -> None:
        self._packaged = packaged
        self._cache = cache
        self._kept = kept
        self._ask = ask
        self._refresh = refresh
        self._described: dict[str, Sourced | None] = {}
        self._listed: dict[str, Sourced | None] = {}
        self._away: NoCatalogueEntry | None = None
        self._failures: dict[str, list[str]] = {}
        self._old_prices: dict[str, None] = {}

    def schema_for(self, model_id: str) -> Schema | None:
        """The input schema of a model, None where none is known."""
        found = self._schema_entry(model_id)
        return Schema(found.entry.input_schema or {}) if found else None

    def origin_of(self, model_id: str) -> str:
        """Where that schema came from: `the package`, `the catalogue, 2 h old`."""
        found = self._schema_entry(model_id)
        return found.origin if found else NOWHERE

    def catalogue_origin(self, model_id: str) -> str:
        """Where the words and the price came from: the catalogue, live or cached, or nowhere."""
        found = self._from_catalogue(model_id)
        return found.origin if found else NOWHERE

    def price_of(self, model_id: str) -> Price | None:
        """The price by the catalogue, else the one that the run directory kept; None for none."""
        entry = self._price_entry(model_id)
        if entry is None or entry.base_price_usd is None:
            return None
        return Price(entry.base_price_usd, entry.price_unit or "", entry.pricing_note)

    def estimate_usd(self, model_id: str, values: Mapping[str, JSONValue]) -> float | None:
        """What one job will cost; None where that cannot be known."""
        entry = self._price_entry(model_id)
        if entry is None:
            return None
        described = self._schema_entry(model_id)
        schema = entry.input_schema or (described.entry.input_schema if described else None)
        return estimate_usd(replace(entry, input_schema=schema), values)

    def entry_for(self, model_id: str) -> ModelEntry | None:
        """Everything known of a model in one entry: the words and the price of the catalogue, and
        the schema that decides. What a run directory should keep."""
        described, listed = self._schema_entry(model_id), self._from_catalogue(model_id)
        base = listed or described or self._from_package(model_id)
        if base is None:
            return None
        schema = described.entry.input_schema if described else None
        return replace(base.entry, input_schema=schema)

    @property
    def away(self) -> str:
        """Why the live catalogue is no longer asked; empty where it may be."""
        return self._away.why if self._away else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know; grows with what is asked for."""
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
        if model_id not in self._described:
            self._described[model_id] = self._find_schema(model_id)
        return self._described[model_id]

    def _find_schema(self, model_id: str) -> Sourced | None:
        kept = self._kept.entry(model_id) if self._kept else None
        if kept is not None and kept.input_schema:
            return Sourced(entry=kept, origin=KEPT)
        for find in (self._from_catalogue, self._from_package):
            found = find(model_id)
            if found is not None and found.entry.input_schema:
                return found
        return None

    def _price_entry(self, model_id: str) -> ModelEntry | None:
        listed = self._from_catalogue(model_id)
        if listed is not None and listed.entry.base_price_usd is not None:
            return listed.entry
        kept = self._kept.entry(model_id) if self._kept else None
        if kept is not None and kept.base_price_usd is not None:
            self._old_prices[model_id] = None
            return kept
        return None

    def _from_package(self, model_id: str) -> Sourced | None:
        entry = self._packaged.get(model_id)
        return Sourced(entry=entry, origin=PACKAGE) if entry else None

    def _from_catalogue(self, model_id: str) -> Sourced | None:
        if model_id not in self._listed:
            self._listed[model_id] = self._find_listed(model_id)
        return self._listed[model_id]

    def _find_listed(self, model_id: str) -> Sourced | None:
        cached = self._cache.get(model_id) if self._cache else None
        if cached is None or cached.is_stale or self._refresh:
            live = self._live(model_id)
            if live is not None:
                return Sourced(entry=live, origin=LIVE)
        if cached is None:
            return None
        return Sourced(entry=cached.entry, origin=f"the catalogue, {cached.age_text}")

    def _live(self, model_id: str) -> ModelEntry | None:
        if self._ask is None:
            return None
        answer = self._away or self._ask(model_id)
        if isinstance(answer, NoCatalogueEntry):
            self._failures.setdefault(answer.why, []).append(model_id)
            # One wait of some seconds is enough: a manifest may name hundreds of models.
            self._away = None if answer.reached else answer
            return None
        if self._cache is not None:
            self._cache.put(answer)
        return answer
