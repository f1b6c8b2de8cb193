"""Descriptions and prices of models for a command: catalogue, this machine's cache, package."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchgen.api.catalogue import Catalogue, T
from batchgen.app.command_context import CommandContext
from batchgen.core.errors import ServiceUnreachable, TokenMissing, UsageError
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.models.bundled import packaged_models
from batchgen.models.cache import CatalogueCache, age_text
from batchgen.models.pinned import PinnedSchemas
from batchgen.models.registry import LIVE, PACKAGE, Ask, ModelRegistry, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Models that fit a search."""

    entries: tuple[ModelEntry, ...]
    source: str
    """Where they come from: `the live catalogue`, `the cache (...) and the package`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One model with all that is known of it."""

    entry: ModelEntry
    """With the schema that is used."""
    schema_origin: str
    price: Price | None
    price_origin: str
    notes: tuple[str, ...]


def describe(context: CommandContext, model_id: str, *, refresh: bool = False) -> Description:
    """Return one model with all that is known of it.

    Raises `UsageError` with the nearest ids if it is not known, and with `refresh`
    `TokenMissing` or `ServiceUnreachable` if the live catalogue does not answer.
    """
    if refresh:
        context.token()
    known = online_models(context, refresh=refresh)
    entry = known.entry_for(model_id)
    if refresh and known.away:
        raise ServiceUnreachable(
            f"{context.api.origin}: the catalogue gave no answer: {known.away}"
        )
    if entry is None:
        raise UsageError(_unknown(context, model_id))
    return Description(
        entry=entry,
        schema_origin=known.origin_of(model_id),
        price=known.price_of(model_id),
        price_origin=known.catalogue_origin(model_id),
        notes=known.notes,
    )


def _unknown(context: CommandContext, model_id: str) -> str:
    listing, note = list_models(context)
    ids = {entry.model_id.lower(): entry.model_id for entry in listing.entries}
    found = difflib.get_close_matches(model_id.lower()[:200], ids, n=4, cutoff=0.4)
    near = f"; nearest: {', '.join(ids[name] for name in found)}" if found else ""
    only = f" ({note})" if note else ""
    return f"{listing.source} has no model {model_id[:200]!r}{near}{only}"


def offline_models(context: CommandContext, pinned: PinnedSchemas | None = None) -> ModelRegistry:
    """Return what is known without network: pinned entries, cache and package."""
    return ModelRegistry(packaged=packaged_models(), cache=_cache(context), pinned=pinned)


def online_models(
    context: CommandContext, pinned: PinnedSchemas | None = None, *, refresh: bool = False
) -> ModelRegistry:
    """Return what is known if the live catalogue may be asked.

    It is asked for a model when that model is first looked up. Without a token the rest is used,
    with a note.
    """
    return ModelRegistry(
        packaged=packaged_models(),
        cache=_cache(context),
        pinned=pinned,
        ask=_asker(context),
        refresh=refresh,
    )


def list_models(
    context: CommandContext, *, search: str = "", category: str = "", refresh: bool = False
) -> tuple[Listing, str]:
    """Return the models that fit, and a note if the live catalogue could not be asked (or "").

    With `refresh`, raises `TokenMissing` or `ServiceUnreachable` instead of using the cache.
    """
    try:
        answer = _live_listing(context, search, category)
    except TokenMissing:
        if refresh:
            raise
        answer = NoCatalogueEntry(why="there is no token", reached=False)
    if isinstance(answer, NoCatalogueEntry):
        if refresh:
            raise ServiceUnreachable(
                f"{context.api.origin}: the catalogue gave no list: {answer.why}"
            )
        note = f"the live catalogue was not used: {answer.why}"
        return _stored_listing(context, search, category), note
    cache = _cache(context)
    for entry in answer:
        if entry.input_schema:  # without one it would hide an entry that has one
            cache.put(entry)
    return Listing(entries=answer, source=LIVE), ""


def _cache(context: CommandContext) -> CatalogueCache:
    return CatalogueCache(context.cache_dir, context.api, context.clock)


def _asker(context: CommandContext) -> Ask:
    def ask(model_id: str) -> ModelEntry | NoCatalogueEntry:
        try:
            token = context.token()
        except TokenMissing:
            return NoCatalogueEntry(why="there is no token", reached=False)

        async def entry() -> ModelEntry | NoCatalogueEntry:
            async with context.client(context.api, token) as api:
                return await Catalogue(api).entry(model_id)

        return from_a_thread(entry)

    return ask


def _live_listing(
    context: CommandContext, search: str, category: str
) -> tuple[ModelEntry, ...] | NoCatalogueEntry:
    token = context.token()

    async def listing() -> tuple[ModelEntry, ...] | NoCatalogueEntry:
        async with context.client(context.api, token) as api:
            return await Catalogue(api).listing(search=search, category=category)

    return from_a_thread(listing)


def _stored_listing(context: CommandContext, search: str, category: str) -> Listing:
    """Return models of cache and package, searched as the API would search its catalogue."""
    cached = list(_cache(context).entries())
    known = dict(packaged_models()) | {one.entry.model_id: one.entry for one in cached}
    entries = (known[name] for name in sorted(known))
    source = PACKAGE
    if cached:
        source = f"the cache (up to {age_text(max(one.age_s for one in cached))}) and {PACKAGE}"
    return Listing(
        entries=tuple(entry for entry in entries if _fits(entry, search, category)), source=source
    )


def _fits(entry: ModelEntry, search: str, category: str) -> bool:
    text = f"{entry.model_id} {entry.display_name}".lower()
    return search.lower() in text and (not category or category in entry.categories)


def from_a_thread(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on a loop of its own, for code that may or may not be called from a loop."""

    async def alone() -> T:
        return await work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(alone())).result()
