"""Schemas and prices of models: pinned, live, cached and packaged, and which of them decides."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import list_models, offline_models, online_models
from batchgen.core.errors import ManifestError
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry, SchemaOrigin
from batchgen.models.cache import CatalogueCache
from batchgen.models.pinned import PinnedSchemas
from batchgen.models.registry import Ask, ModelRegistry
from batchgen.sandbox import SandboxConfig
from batchgen.system import environment
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.live import live_sandbox
from tests.models.entries import HOUR_S, REAL, SetClock, cache, entry

PAGE = Path(__file__).parents[2] / "docs/models.md"


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


def test_the_page_lists_the_sources_of_a_schema_in_their_order() -> None:
    """docs/models.md and the code have one order; behind it comes none."""
    listed = re.findall(r"^\d\. (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(listed) == len(SchemaOrigin) + 1
    for line, origin in zip(listed, SchemaOrigin, strict=False):
        assert line.startswith(origin.value)
    assert listed[-1].startswith("none")


def test_a_live_entry_without_a_schema_does_not_hide_a_cached_one(tmp_path: Path) -> None:
    """It supplies the price only: the cached schema decides, before the package, and stays."""
    clock, ask = SetClock(), Asked(entry(input_schema=None, price=0.05))
    cached_entries = cache(tmp_path, clock)
    cached = {"properties": {"size": {"type": "integer"}}}
    cached_entries.put(entry(input_schema=cached, price=0.03))
    clock.at_s += 48 * HOUR_S

    for _attempt in range(2):
        known = ModelRegistry(packaged={"a/b": entry()}, cache=cached_entries, ask=ask)
        schema = known.schema_for("a/b")
        assert schema is not None
        assert list(schema.properties) == ["size"]
        assert known.origin_of("a/b") == "the catalogue, 2 days old"
        assert known.price_of("a/b") == (0.05, "output", "")
        assert known.catalogue_origin("a/b") == "the live catalogue"
        kept = known.entry_for("a/b")
        assert kept is not None
        assert (kept.input_schema, kept.base_price_usd) == (cached, 0.05)


def test_a_fresh_cache_is_used_without_asking(tmp_path: Path) -> None:
    """The catalogue is asked when what is cached is a day old, and then once."""
    clock, ask = SetClock(), Asked(entry(price=0.05))
    cached_entries = cache(tmp_path, clock)
    cached_entries.put(entry(price=0.03))

    fresh = ModelRegistry(packaged={}, cache=cached_entries, ask=ask)
    assert fresh.price_of("a/b") == (0.03, "output", "")
    assert fresh.origin_of("a/b") == "the catalogue, less than a minute old"
    assert ask.calls == []

    clock.at_s += 25 * HOUR_S
    stale = ModelRegistry(packaged={}, cache=cached_entries, ask=ask)
    assert stale.price_of("a/b") == (0.05, "output", "")
    assert stale.schema_for("a/b") is not None
    assert stale.origin_of("a/b") == "the live catalogue"
    assert ask.calls == ["a/b"]
    assert stale.notes == ()

    again = ModelRegistry(packaged={}, cache=cached_entries, ask=ask)
    assert again.price_of("a/b") == (0.05, "output", "")
    assert ask.calls == ["a/b"]


def test_refresh_asks_whatever_is_cached(tmp_path: Path) -> None:
    """The user gets today's price."""
    cached_entries = cache(tmp_path, SetClock())
    cached_entries.put(entry(price=0.03))

    known = ModelRegistry(
        packaged={}, cache=cached_entries, ask=Asked(entry(price=0.05)), refresh=True
    )

    assert known.price_of("a/b") == (0.05, "output", "")


def test_a_stale_entry_is_used_with_a_note_when_the_api_is_down(tmp_path: Path) -> None:
    """One wait, however many models the rows name, and one note for all of them."""
    clock, ask = SetClock(), Asked(DOWN)
    cached_entries = cache(tmp_path, clock)
    for name in ("a/b", "c/d"):
        cached_entries.put(entry(name))
    clock.at_s += 48 * HOUR_S

    known = ModelRegistry(packaged={"e/f": entry("e/f", price=None)}, cache=cached_entries, ask=ask)
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
    pinned, ask = PinnedSchemas(tmp_path), Asked(DOWN)
    old = entry(input_schema={"properties": {"size": {"type": "integer"}}}, price=0.02)
    pinned.keep(old)

    known = ModelRegistry(packaged={"a/b": entry()}, pinned=pinned, ask=ask)
    schema = known.schema_for("a/b")
    assert schema is not None
    assert list(schema.properties) == ["size"]
    assert "run directory" in known.origin_of("a/b")
    assert ask.calls == []
    assert known.price_of("a/b") == (0.02, "output", "")
    assert "first run" in known.notes[-1]

    today = ModelRegistry(packaged={}, pinned=pinned, ask=Asked(entry(price=0.09)))
    assert today.price_of("a/b") == (0.09, "output", "")
    whole = today.entry_for("a/b")
    assert whole is not None
    assert whole.input_schema == old.input_schema


def test_what_was_kept_first_stays(tmp_path: Path) -> None:
    """Until the user removes the file; one that cannot be read is an error."""
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
    """Manifests are read synchronously inside a run; the sandbox answers, nothing is cached."""
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
    """And if no network is wanted, there is no note."""
    known = online_models(CommandContext())

    assert known.origin_of(MODEL) == "the package"
    assert "there is no token" in known.notes[0]
    offline = offline_models(CommandContext())
    assert offline.schema_for(MODEL) is not None
    assert offline.notes == ()


def test_an_api_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """One note; the package is used."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    context = CommandContext(base_url=f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("RUNCOMFY_TOKEN", "test-token")

    listing, note = list_models(context)

    assert listing.source == "the package"
    assert "live catalogue was not used" in note
    assert online_models(context).origin_of(MODEL) == "the package"


def test_a_listing_fills_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what has a schema: an entry without one would hide an earlier one that has it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNCOMFY_TOKEN", "test-token")
    answer = (entry("a/b"), entry("c/d", input_schema=None))
    monkeypatch.setattr("batchgen.app.model_sources._live_listing", lambda *_: answer)

    listing, note = list_models(CommandContext())

    assert (listing.entries, note) == (answer, "")
    cached_entries = CatalogueCache(environment.cache_directory(), REAL, SystemClock())
    assert [one.entry.model_id for one in cached_entries.entries()] == ["a/b"]
