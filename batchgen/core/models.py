"""A model of the API as its catalogue describes it: identity, input schema, price.

The shape is that of `GET /v1/models/{id}` (api.md 9). Every field but the id may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MODEL_ID = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+)+")


def is_model_id(text: str) -> bool:
    """Two or more segments of `[A-Za-z0-9_.-]`, none of them `.` or `..` (api.md 2).

    An id stands unescaped in the path of a call that carries the token, so nothing else may pass.
    """
    return _MODEL_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One entry of the catalogue."""

    model_id: str
    display_name: str = ""
    categories: tuple[str, ...] = ()
    """Names that end in the kind of output: image, video or audio."""
    input_schema: Mapping[str, object] | None = None
    """As published, with the API's own types (`float`, `image_uri`...)."""
    base_price_usd: float | None = None
    price_unit: str | None = None
    """What the price is for: `output` or `second` are known; others may exist."""
    pricing_note: str = ""
    model_url: str = ""


def read_entry(payload: object) -> ModelEntry | None:
    """A catalogue entry from its JSON; None where it names no model."""
    if not isinstance(payload, dict) or not isinstance(payload.get("model_id"), str):
        return None
    schema = payload.get("input_schema")
    categories = payload.get("categories")
    price = payload.get("base_price_usd")
    priced = isinstance(price, (int, float)) and not isinstance(price, bool) and price >= 0
    return ModelEntry(
        model_id=payload["model_id"],
        display_name=_text(payload, "display_name"),
        categories=tuple(c for c in categories if isinstance(c, str))
        if isinstance(categories, list)
        else (),
        input_schema=schema if isinstance(schema, dict) and schema else None,
        base_price_usd=float(price) if priced and price is not None else None,
        price_unit=_text(payload, "price_unit") or None,
        pricing_note=_text(payload, "pricing_note"),
        model_url=_text(payload, "model_url"),
    )


def _text(payload: Mapping[str, object], key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""
