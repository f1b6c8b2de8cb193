"""Models and prices: live, cached, kept and packaged, and which of them decides."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.api import ModelAPI
from batchgen.api.catalogue import Catalogue
from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import list_models, offline_models, online_models
from batchgen.core.api_base import DEFAULT_BASE_URL, parse_base_url
from batchgen.core.errors import ManifestError
from batchgen.core.model_entry import (
    ModelEntry,
    NoCatalogueEntry,
    estimate_usd,
    file_stem,
    read_entry,
)
from batchgen.core.secret import Secret
from batchgen.models.cache import CatalogueCache, age_text
from batchgen.models.pinned import PinnedSchemas
from batchgen.models.registry import Ask, ModelRegistry
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.system import environment
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.live import live_sandbox

REAL = parse_base_url(DEFAULT_BASE_URL)
HOUR_S = 3600.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


class Asked:
    """A live catalogue in memory, which counts what it is asked."""

    def __init__(self, answer: ModelEntry | NoCatalogueEntry) -> None:
        self.answer = answer
        self.calls: list[str] = []

    def __call__(self, model_id: str) -> ModelEntry | NoCatalogueEntry:
        self.calls.append(model_id)
        return self.answer


DOWN = NoCatalogueEntry(why="connection refused", reached=False)
_: Ask = Asked(DOWN)


@asynccontextmanager
async def catalogue(handler: Handler) -> AsyncIterator[Catalogue]:
    """The catalogue of a server that answers everything with one handler."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = parse_base_url(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    try:
        async with ModelAPI(base, Secret("t"), clock=SystemClock()) as api:
            yield Catalogue(api)
    finally:
        await runner.cleanup()


# The live catalogue.


async def test_an_entry_of_the_live_catalogue() -> None:
    """Schema and price of a model; a reason where there is none."""
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
    """Also where the server gives fewer entries a page than were asked for, or no total."""
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
    """The same page again and again is no reason to go on."""
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


# The cache.


def cache(directory: Path, clock: SetClock, base_url: str = DEFAULT_BASE_URL) -> CatalogueCache:
    return CatalogueCache(directory, parse_base_url(base_url), clock)


def test_what_is_cached_comes_back_with_its_age(tmp_path: Path) -> None:
    """The whole entry, fresh for a day, to another program that reads the same directory."""
    clock = SetClock()
    cache(tmp_path, clock).put(entry(pricing_note="per picture"))

    clock.at_s += 3 * HOUR_S
    found = cache(tmp_path, clock).get("a/b")
    assert found is not None
    assert found.entry == entry(pricing_note="per picture")
    assert (found.age_text, found.is_stale) == ("3 h old", False)

    clock.at_s += 21 * HOUR_S
    later = cache(tmp_path, clock).get("a/b")
    assert later is not None
    assert later.is_stale

    clock.at_s = 0.0
    back = cache(tmp_path, clock).get("a/b")
    assert back is not None
    assert back.is_stale


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (5, "less than a minute old"), (60, "1 min old"), (7199, "1 h old"),
        (47 * HOUR_S, "47 h old"), (72 * HOUR_S, "3 days old"), (-1, "of unknown age"),
    ],
)  # fmt: skip
def test_ages_in_words(age_s: float, text: str) -> None:
    """As people say them."""
    assert age_text(age_s) == text


def test_each_api_has_a_cache_of_its_own(tmp_path: Path) -> None:
    """A staging API's prices are not those of the real one."""
    clock = SetClock()
    cache(tmp_path, clock, "https://other.example/v1").put(entry())

    assert cache(tmp_path, clock).get("a/b") is None
    assert list(cache(tmp_path, clock).entries()) == []


def test_an_api_on_this_machine_neither_writes_nor_reads(tmp_path: Path) -> None:
    """A rehearsal leaves no made-up price behind."""
    local = cache(tmp_path, SetClock(), "http://127.0.0.1:8000/v1")

    local.put(entry())

    assert local.get("a/b") is None
    assert list(local.entries()) == []
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b"\xff\xfe", b"null", b'{"origin": "ORIGIN"}',
        b'{"origin": "ORIGIN", "entry": {"model_id": "x/y"}, "fetched_at_s": 1}',
        b'{"origin": "ORIGIN", "entry": {"model_id": "a/b"}, "fetched_at_s": "soon"}',
        b'{"origin": "elsewhere", "entry": {"model_id": "a/b"}, "fetched_at_s": 1}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_broken_cache_file_counts_as_not_there(tmp_path: Path, content: bytes) -> None:
    """And the next entry replaces it."""
    books = cache(tmp_path, SetClock())
    books.put(entry())
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content.replace(b"ORIGIN", REAL.origin.encode()))

    assert books.get("a/b") is None
    books.put(entry())
    assert books.get("a/b") is not None
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written_is_in_nobodys_way(tmp_path: Path) -> None:
    """A file where the directory should be, and no directory at all."""
    (tmp_path / "file").write_text("x")

    for books in (cache(tmp_path / "file", SetClock()), CatalogueCache(None, REAL, SetClock())):
        books.put(entry())
        assert books.get("a/b") is None


def test_no_two_models_share_a_file() -> None:
    """Not by case, not by underscores, and none leaves its directory."""
    ids = ["a/b", "A/b", "a_/b", "a/_b", "a__b/c", "a/b__c", "a/b/c", "x" * 300 + "/y"]
    stems = [file_stem(model_id).lower() for model_id in ids]

    assert len(set(stems)) == len(ids)
    assert not any("/" in stem or len(stem) > 150 for stem in stems)
    assert file_stem(MODEL) == "bytedance__dreamina-4-0__text-to-image"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, Path("/c/batchgen")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, Path("/h/.cache/batchgen")),
        ({"HOME": "/h"}, Path("/h/.cache/batchgen")),
        ({}, None),
    ],
)
def test_where_the_cache_lies(given: dict[str, str], expected: Path | None) -> None:
    """Where the XDG base directory specification has it."""
    assert environment.cache_directory(given) == expected


def test_a_listing_fills_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what has a schema: an entry without one would hide an earlier one that has it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNCOMFY_TOKEN", "t")
    answer = (entry("a/b"), entry("c/d", input_schema=None))
    monkeypatch.setattr("batchgen.app.model_sources._live_listing", lambda *_: answer)

    listing, note = list_models(CommandContext())

    assert (listing.entries, note) == (answer, "")
    books = CatalogueCache(environment.cache_directory(), REAL, SystemClock())
    assert [one.entry.model_id for one in books.entries()] == ["a/b"]


# Which description decides.


def test_a_fresh_cache_is_used_without_asking(tmp_path: Path) -> None:
    """The catalogue is asked when what is cached is a day old, and then once."""
    clock, ask = SetClock(), Asked(entry(price=0.05))
    books = cache(tmp_path, clock)
    books.put(entry(price=0.03))

    fresh = ModelRegistry(packaged={}, cache=books, ask=ask)
    assert fresh.price_of("a/b") == (0.03, "output", "")
    assert fresh.origin_of("a/b") == "the catalogue, less than a minute old"
    assert ask.calls == []

    clock.at_s += 25 * HOUR_S
    stale = ModelRegistry(packaged={}, cache=books, ask=ask)
    assert stale.price_of("a/b") == (0.05, "output", "")
    assert stale.schema_for("a/b") is not None
    assert stale.origin_of("a/b") == "the live catalogue"
    assert ask.calls == ["a/b"]
    assert stale.notes == ()

    again = ModelRegistry(packaged={}, cache=books, ask=ask)
    assert again.price_of("a/b") == (0.05, "output", "")
    assert ask.calls == ["a/b"]


def test_refresh_asks_whatever_is_cached(tmp_path: Path) -> None:
    """A person who says so gets today's price."""
    books = cache(tmp_path, SetClock())
    books.put(entry(price=0.03))

    known = ModelRegistry(packaged={}, cache=books, ask=Asked(entry(price=0.05)), refresh=True)

    assert known.price_of("a/b") == (0.05, "output", "")


def test_a_stale_entry_is_used_with_a_note_when_the_api_is_down(tmp_path: Path) -> None:
    """One wait, however many models the rows name, and one note for all of them."""
    clock, ask = SetClock(), Asked(DOWN)
    books = cache(tmp_path, clock)
    for name in ("a/b", "c/d"):
        books.put(entry(name))
    clock.at_s += 48 * HOUR_S

    known = ModelRegistry(packaged={"e/f": entry("e/f", price=None)}, cache=books, ask=ask)
    for name in ("a/b", "c/d", "e/f", "g/h"):
        known.schema_for(name)

    assert ask.calls == ["a/b"]
    (note,) = known.notes
    assert "connection refused" in note
    assert "a/b: the catalogue, 2 days old" in note
    assert "e/f: the package and 1 more" in note
    assert known.schema_for("g/h") is None
    assert known.price_of("a/b") == (0.03, "output", "")


def test_one_unknown_model_does_not_stop_the_asking() -> None:
    """Only an API that is not there is left alone."""
    ask = Asked(NoCatalogueEntry(why="it does not know this model", reached=True))
    known = ModelRegistry(packaged={}, ask=ask)

    assert known.schema_for("a/b") is None
    assert known.price_of("a/b") is None
    assert known.schema_for("c/d") is None
    assert ask.calls == ["a/b", "c/d"]


def test_an_entry_without_a_schema_supplies_the_price_only() -> None:
    """The packaged schema decides then."""
    packaged = {"a/b": entry(price=None)}
    known = ModelRegistry(packaged=packaged, ask=Asked(entry(input_schema=None, price=0.0)))

    assert known.schema_for("a/b") is not None
    assert known.origin_of("a/b") == "the package"
    assert known.price_of("a/b") == (0.0, "output", "")
    whole = known.entry_for("a/b")
    assert whole is not None
    assert whole.input_schema == packaged["a/b"].input_schema
    assert whole.base_price_usd == 0.0


def test_the_schema_that_a_run_directory_kept_decides_there(tmp_path: Path) -> None:
    """Today's schema does not; today's price does; and no network is needed for the schema."""
    kept, ask = PinnedSchemas(tmp_path), Asked(DOWN)
    old = entry(input_schema={"properties": {"size": {"type": "integer"}}}, price=0.02)
    kept.keep(old)

    known = ModelRegistry(packaged={"a/b": entry()}, pinned=kept, ask=ask)
    schema = known.schema_for("a/b")
    assert schema is not None
    assert list(schema.properties) == ["size"]
    assert "run directory" in known.origin_of("a/b")
    assert ask.calls == []
    assert known.price_of("a/b") == (0.02, "output", "")
    assert "first run" in known.notes[-1]

    today = ModelRegistry(packaged={}, pinned=kept, ask=Asked(entry(price=0.09)))
    assert today.price_of("a/b") == (0.09, "output", "")
    whole = today.entry_for("a/b")
    assert whole is not None
    assert whole.input_schema == old.input_schema


def test_what_was_kept_first_stays(tmp_path: Path) -> None:
    """Until a person removes the file; one that cannot be read is no reason to guess."""
    kept = PinnedSchemas(tmp_path)
    assert kept.entry("a/b") is None
    kept.keep(entry(price=0.01))
    kept.keep(entry(price=0.02))

    found = PinnedSchemas(tmp_path).entry("a/b")
    assert found == entry(price=0.01)
    assert [path.name for path in (tmp_path / "schemas").iterdir()] == ["a__b.json"]

    for content in ("{", '{"model_id": "c/d"}', "[]"):
        (tmp_path / "schemas/a__b.json").write_text(content)
        with pytest.raises(ManifestError, match=r"schemas/a__b\.json: cannot be read"):
            kept.entry("a/b")
    (tmp_path / "schemas/a__b.json").unlink()
    assert kept.entry("a/b") is None


async def test_asking_from_inside_a_running_loop(tmp_path: Path) -> None:
    """Manifests are read synchronously inside a run; a stand-in answers, nothing is cached."""
    with live_sandbox(SandboxConfig(price_usd=0.07)) as sandbox:
        known = online_models(
            CommandContext(base_url=sandbox.base_url, environment={"RUNCOMFY_TOKEN": sandbox.token})
        )
        assert known.price_of(MODEL) is not None
        assert known.origin_of(MODEL) == "the live catalogue"
        assert known.estimate_usd(MODEL, {"prompt": "x"}) == pytest.approx(0.07)
        assert sum(sandbox.audit.calls["catalogue"].values()) == 1

    assert not list(tmp_path.rglob("*.json"))


def test_without_a_token_the_rest_is_used_with_a_note() -> None:
    """And without a network wanted there is nothing to note."""
    known = online_models(CommandContext())

    assert known.origin_of(MODEL) == "the package"
    assert "there is no token" in known.notes[0]
    offline = offline_models(CommandContext())
    assert offline.schema_for(MODEL) is not None
    assert offline.notes == ()


def test_an_api_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once; the package goes on."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    base = parse_base_url(f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("RUNCOMFY_TOKEN", "t")

    listing, note = list_models(CommandContext(base_url=base.url))

    assert listing.source == "the package"
    assert "live catalogue was not used" in note
    assert online_models(CommandContext(base_url=base.url)).origin_of(MODEL) == "the package"


# What a job will cost.


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("output", {}, 0.5),
        ("output", {"num_images": 4}, 2.0),
        ("output", {"n": "3"}, 1.5),
        ("output", {"num_images": "auto"}, None),
        ("output", {"num_images": True}, None),
        ("second", {"duration": 10}, 5.0),
        ("second", {"duration": "10"}, 5.0),
        ("second", {"duration": "auto"}, None),
        ("second", {"duration": -1}, None),
        ("second", {}, 2.5),
        ("megapixel", {}, None),
        (None, {}, None),
    ],
)
def test_estimates(unit: str | None, values: dict[str, object], expected: float | None) -> None:
    """Nothing is guessed where the price depends on what is not known."""
    schema = {"properties": {"duration": {"type": "integer", "default": 5}}}
    model = entry(price=0.5, price_unit=unit, input_schema=schema)

    assert estimate_usd(model, values) == expected  # type: ignore[arg-type]


def test_prices_that_are_none() -> None:
    """Missing is not free, and free is a price."""
    assert estimate_usd(entry(price=None), {}) is None
    assert estimate_usd(entry(price=0.0), {"num_images": 4}) == 0.0
    unsure = entry(price=0.5, price_unit="second", input_schema=None)
    assert estimate_usd(unsure, {}) is None


@pytest.mark.parametrize("price", ["0.03", True, -1, None, [], 1e300])
def test_what_is_no_price(price: object) -> None:
    """Only a sensible number is one."""
    found = read_entry({"model_id": "a/b", "base_price_usd": price})
    assert found is not None
    assert found.base_price_usd is None
