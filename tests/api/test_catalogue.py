"""The live catalogue: entries and listings of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from batchgen.api.catalogue import Catalogue
from batchgen.api.client import ModelAPI
from batchgen.core.api_base import parse_base_url
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.core.secret import Secret
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.outputs.host import Handler, server


@asynccontextmanager
async def catalogue(handler: Handler) -> AsyncIterator[Catalogue]:
    """The catalogue of a server that answers everything with one handler."""
    async with server(handler) as origin:
        base = parse_base_url(f"{origin}/v1")
        async with ModelAPI(base, Secret("t"), clock=SystemClock()) as api:
            yield Catalogue(api)


async def test_an_entry_of_the_live_catalogue() -> None:
    """Schema and price of a model; a reason if there is none."""
    async with Sandbox(SandboxConfig(price_usd=0.04)) as sandbox:
        base = parse_base_url(sandbox.base_url)
        async with (
            ModelAPI(base, Secret(sandbox.token), clock=SystemClock()) as api,
            ModelAPI(base, Secret("wrong"), clock=SystemClock()) as stranger,
        ):
            found = await Catalogue(api).entry(MODEL)
            unknown = await Catalogue(api).entry("no/such-model")
            rejected = await Catalogue(stranger).entry(MODEL)
            path = await Catalogue(api).entry("../requests")

    assert isinstance(found, ModelEntry)
    assert (found.base_price_usd, found.price_unit) == (0.04, "output")
    assert found.input_schema
    assert unknown == NoCatalogueEntry(why="it does not know this model", reached=True)
    assert isinstance(rejected, NoCatalogueEntry)
    assert "token was rejected" in rejected.why
    assert isinstance(path, NoCatalogueEntry)


async def test_a_catalogue_that_hangs_is_given_up_in_time() -> None:
    """A manifest is not kept waiting for a description."""

    release = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with catalogue(hang) as models:
        answer = await models.entry("a/b", timeout_s=0.05)
        release.set()

    assert isinstance(answer, NoCatalogueEntry)
    assert not answer.reached


async def test_an_answer_about_another_model_is_none() -> None:
    """A price of something else would be reserved for the wrong job."""

    async def other(request: web.Request) -> web.StreamResponse:
        return web.json_response({"model_id": "c/d", "base_price_usd": 0})

    async with catalogue(other) as models:
        assert isinstance(await models.entry("a/b"), NoCatalogueEntry)


async def test_the_listing_is_read_page_by_page() -> None:
    """Also if the server gives fewer entries per page than were asked for, or no total."""
    names = [f"maker/model-{n}" for n in range(7)]
    queries: list[dict[str, str]] = []

    async def pages(request: web.Request) -> web.StreamResponse:
        queries.append(dict(request.query))
        offset = int(request.query["offset"])
        listed: list[object] = [{"model_id": name} for name in names[offset : offset + 3]]
        if offset == 0:
            listed[0] = {"name": "unreadable"}
        return web.json_response({"models": listed})

    async with catalogue(pages) as models:
        found = await models.listing(search="fox & co", category="text-to-image")

    assert isinstance(found, tuple)
    assert [one.model_id for one in found] == names[1:]
    assert [query["offset"] for query in queries] == ["0", "3", "6", "7"]
    assert queries[0]["search"] == "fox & co"
    assert queries[0]["category"] == "text-to-image"
    assert queries[0]["include_schema"] == "true"


async def test_a_server_that_knows_no_offset_ends_the_listing() -> None:
    """The same page again ends it."""
    calls = []

    async def same(request: web.Request) -> web.StreamResponse:
        calls.append(request.query["offset"])
        return web.json_response({"models": [{"model_id": "a/b"}], "total": 1000})

    async with catalogue(same) as models:
        assert await models.listing() == (ModelEntry(model_id="a/b"),)

    assert len(calls) == 2


async def test_only_an_id_goes_into_a_path() -> None:
    """The call carries the token; nothing that leads elsewhere is asked for."""
    paths: list[str] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.json_response({})

    async with catalogue(remember) as models:
        for odd in ("../requests", "a", "a/../b", "a/b?x=1", "a/b#c"):
            assert isinstance(await models.entry(odd), NoCatalogueEntry)

    assert paths == []
