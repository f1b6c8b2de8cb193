"""What a command knows of models: the parts of `api` with this machine's cache and token."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchgen.api.catalogue import Catalogue, T
from batchgen.core.api_base import ApiBase
from batchgen.core.errors import ServiceUnreachable, TokenMissing, UsageError
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.core.secret import Secret
from batchgen.models.bundled import packaged_models
from batchgen.models.cache import CatalogueCache, age_text
from batchgen.models.registry import LIVE, PACKAGE, Ask, ModelRegistry, PinnedEntries, Price
from batchgen.system import environment
from batchgen.system.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Models that fit a question."""

    entries: tuple[ModelEntry, ...]
    source: str
    """Where they come from, for people: `the live catalogue`, `the cache (...) and the package`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One model."""

    entry: ModelEntry
    """With the schema that decides."""
    schema_origin: str
    price: Price | None
    price_origin: str
    notes: tuple[str, ...]


def api_of(base_url: str | None) -> ApiBase:
    """The API that a command is about. Raises `UsageError`."""
    return environment.api_base(base_url)


def describe(base: ApiBase, model_id: str, *, refresh: bool = False) -> Description:
    """One model with all that is known of it.

    Raises `UsageError` with the nearest ids for one that is not known, and with `refresh`
    `TokenMissing` or `ServiceUnreachable` where the live catalogue gives nothing.
    """
    if refresh:
        environment.token()
    known = online_models(base, refresh=refresh)
    entry = known.entry_for(model_id)
    if refresh and known.away:
        raise ServiceUnreachable(f"{base.origin}: the catalogue gave no answer: {known.away}")
    if entry is None:
        raise UsageError(_unknown(base, model_id))
    return Description(
        entry=entry,
        schema_origin=known.origin_of(model_id),
        price=known.price_of(model_id),
        price_origin=known.catalogue_origin(model_id),
        notes=known.notes,
    )


def _unknown(base: ApiBase, model_id: str) -> str:
    listing, note = list_models(base)
    ids = {entry.model_id.lower(): entry.model_id for entry in listing.entries}
    found = difflib.get_close_matches(model_id.lower()[:200], ids, n=4, cutoff=0.4)
    near = f"; nearest: {', '.join(ids[name] for name in found)}" if found else ""
    only = f" ({note})" if note else ""
    return f"{listing.source} has no model {model_id[:200]!r}{near}{only}"


def offline_models(base: ApiBase, kept: PinnedEntries | None = None) -> ModelRegistry:
    """What is known without a network: kept, cache and package. For `check`."""
    return ModelRegistry(packaged=packaged_models(), cache=_cache(base), kept=kept)


def online_models(
    base: ApiBase,
    *,
    token: Callable[[], Secret] = environment.token,
    kept: PinnedEntries | None = None,
    refresh: bool = False,
) -> ModelRegistry:
    """What is known where the live catalogue may be asked. For `run` and `models`.

    Without a token the rest is used, with a note. Nothing is asked before a model is.
    """
    return ModelRegistry(
        packaged=packaged_models(),
        cache=_cache(base),
        kept=kept,
        ask=_asker(base, token),
        refresh=refresh,
    )


def list_models(
    base: ApiBase, *, search: str = "", category: str = "", refresh: bool = False
) -> tuple[Listing, str]:
    """The models that fit, and a note where the live catalogue could not be asked ("" for none).

    Asks whenever there is a token. With `refresh` raises `TokenMissing` or `ServiceUnreachable`
    rather than to answer from memory.
    """
    try:
        answer = _live_listing(base, environment.token(), search, category)
    except TokenMissing:
        if refresh:
            raise
        answer = NoCatalogueEntry(why="there is no token", reached=False)
    if isinstance(answer, NoCatalogueEntry):
        if refresh:
            raise ServiceUnreachable(f"{base.origin}: the catalogue gave no list: {answer.why}")
        return _remembered(base, search, category), f"the live catalogue was not used: {answer.why}"
    cache = _cache(base)
    for entry in answer:
        if entry.input_schema:  # without one it would hide an entry that has one
            cache.put(entry)
    return Listing(entries=answer, source=LIVE), ""


def _cache(base: ApiBase) -> CatalogueCache:
    return CatalogueCache(environment.cache_directory(), base, SystemClock())


def _asker(base: ApiBase, token: Callable[[], Secret]) -> Ask:
    def ask(model_id: str) -> ModelEntry | NoCatalogueEntry:
        try:
            secret = token()
        except TokenMissing:
            return NoCatalogueEntry(why="there is no token", reached=False)

        async def entry() -> ModelEntry | NoCatalogueEntry:
            from batchgen.api import ModelAPI

            async with ModelAPI(base, secret, clock=SystemClock()) as api:
                return await Catalogue(api).entry(model_id)

        return from_a_thread(entry)

    return ask


def _live_listing(
    base: ApiBase, token: Secret, search: str, category: str
) -> tuple[ModelEntry, ...] | NoCatalogueEntry:
    async def listing() -> tuple[ModelEntry, ...] | NoCatalogueEntry:
        from batchgen.api import ModelAPI

        async with ModelAPI(base, token, clock=SystemClock()) as api:
            return await Catalogue(api).listing(search=search, category=category)

    return from_a_thread(listing)


def _remembered(base: ApiBase, search: str, category: str) -> Listing:
    """Cache and package, searched here as the API searches there."""
    cached = list(_cache(base).entries())
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
    """Run `work` on a loop of its own, for code that may or may not stand in one already."""

    async def alone() -> T:
        return await work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(alone())).result()
