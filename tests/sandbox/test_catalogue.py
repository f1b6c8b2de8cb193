"""The catalogue: pages, filters, schemas and made-up prices."""

from __future__ import annotations

import pytest

from batchgen.core.model_entry import ModelEntry, read_entry
from tests.kit import MODEL

from .conftest import Start

ENTRIES = tuple(
    ModelEntry(
        model_id=f"maker/number-{number:03}/{task}",
        base_price_usd=0.5,
        price_unit="output",
        input_schema={"type": "object", "properties": {"n": {"type": "float"}}},
    )
    for number in range(125)
    for task in ("text-to-image", "image-to-video")
)


async def test_pages_cover_everything_once(start: Start) -> None:
    """Offset and limit walk through all models; a page has 100 at most, total counts them all."""
    client = await start(models=ENTRIES)
    found: list[str] = []
    while True:
        page = (await client.call("GET", f"/models?limit=500&offset={len(found)}")).json
        assert page["total"] == 251
        if not page["models"]:
            break
        assert len(page["models"]) <= 100
        found += [model["model_id"] for model in page["models"]]
    assert len(set(found)) == len(found) == 251
    few = (await client.call("GET", "/models?limit=3&offset=1")).json
    assert [model["model_id"] for model in few["models"]] == found[1:4]


async def test_search_and_category_filter(start: Start) -> None:
    """Search covers id and name in any case, category is exact; total counts the matches."""
    client = await start(models=ENTRIES)
    found = (await client.call("GET", "/models?search=NUMBER-012")).json
    assert found["total"] == len(found["models"]) == 2
    found = (await client.call("GET", "/models?search=012&category=image-to-video")).json
    assert [model["model_id"] for model in found["models"]] == ["maker/number-012/image-to-video"]
    assert (await client.call("GET", "/models?search=nothing")).json == {"models": [], "total": 0}
    categories = (await client.call("GET", "/models/categories")).json
    assert categories == {"categories": ["image-to-video", "text-to-image"]}


async def test_schemas_come_when_asked_for(start: Start) -> None:
    """In the listing only with include_schema=true, of one model always, as published."""
    client = await start(models=ENTRIES)
    assert "input_schema" not in (await client.call("GET", "/models")).json["models"][0]
    listed = (await client.call("GET", "/models?include_schema=true")).json["models"]
    one = (await client.call("GET", "/models/maker/number-000/text-to-image")).json
    assert one in listed
    assert one["input_schema"]["properties"]["n"]["type"] == "float"
    assert (one["base_price_usd"], one["price_unit"], one["kind"]) == (0.5, "output", "model")


async def test_packaged_models_have_a_made_up_price(start: Start) -> None:
    """The packaged model is there without any setting, and its price says that it is made up."""
    client = await start()
    one = (await client.call("GET", f"/models/{MODEL}")).json
    assert one["base_price_usd"] == 0.03
    assert "made up" in one["pricing_note"]
    entry = read_entry(one)
    assert entry is not None
    assert entry.input_schema


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1", "offset=1.5"])
async def test_bad_pages_are_refused(start: Start, query: str) -> None:
    """Invalid limits and offsets are 422."""
    client = await start()
    assert (await client.call("GET", f"/models?{query}")).status == 422
