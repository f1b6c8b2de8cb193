"""Entries of the catalogue: their prices, and the names of files about them."""

from __future__ import annotations

import pytest

from batchgen.core.model_entry import estimate_usd, file_stem, read_entry
from tests.kit import MODEL
from tests.models.entries import entry


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
    """Nothing is guessed if the price depends on what is not known."""
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


def test_no_two_models_share_a_file() -> None:
    """Not by case, not by underscores, and none leaves its directory."""
    ids = ["a/b", "A/b", "a_/b", "a/_b", "a__b/c", "a/b__c", "a/b/c", "x" * 300 + "/y"]
    stems = [file_stem(model_id).lower() for model_id in ids]

    assert len(set(stems)) == len(ids)
    assert not any("/" in stem or len(stem) > 150 for stem in stems)
    assert file_stem(MODEL) == "bytedance__dreamina-4-0__text-to-image"
