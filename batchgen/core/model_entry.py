"""A model of the API as its catalogue describes it: identity, input schema, price.

The shape is that of `GET /v1/models/{id}`, as the vendor's CLI and ComfyUI nodes read it. Every
field but the id may be missing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.core.jobs import JSONValue

_MODEL_ID = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+)+")


def is_model_id(text: str) -> bool:
    """Two or more segments of `[A-Za-z0-9_.-]`, none of them `.` or `..`.

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
    price = _number(payload.get("base_price_usd"))
    return ModelEntry(
        model_id=payload["model_id"],
        display_name=_text(payload, "display_name"),
        categories=tuple(c for c in categories if isinstance(c, str))
        if isinstance(categories, list)
        else (),
        input_schema=schema if isinstance(schema, dict) and schema else None,
        base_price_usd=price if price is not None and price >= 0 else None,
        price_unit=_text(payload, "price_unit") or None,
        pricing_note=_text(payload, "pricing_note"),
        model_url=_text(payload, "model_url"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """A page of `GET /v1/models`."""

    entries: tuple[ModelEntry, ...]
    listed: int
    """Items on the page, those that could not be read included: what the next offset counts."""
    total: int | None
    """Of the whole listing; None where the API does not say."""


def read_page(payload: object) -> ModelPage | None:
    """A page from its JSON; None for what is no listing."""
    if not isinstance(payload, dict) or not isinstance(payload.get("models"), list):
        return None
    items, total = payload["models"], payload.get("total")
    read = (read_entry(item) for item in items)
    return ModelPage(
        entries=tuple(entry for entry in read if entry and is_model_id(entry.model_id)),
        listed=len(items),
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
    )


COUNT_PARAMETERS = ("num_images", "num_outputs", "n")
"""What models call the number of outputs of one job."""


def estimate_usd(entry: ModelEntry, values: Mapping[str, JSONValue]) -> float | None:
    """What one job with this input will cost; None where that cannot be known, 0 is a price.

    Priced per output: by the count that the input names, else one. Priced per second: by the
    `duration` of the input, else the published default, which the API applies to settings.
    """
    price = entry.base_price_usd
    if price is None:
        return None
    if entry.price_unit == "output":
        said = [values[name] for name in COUNT_PARAMETERS if values.get(name) is not None]
        amount = _number(said[0], text=True) if said else 1.0
    elif entry.price_unit == "second":
        amount = _number(_setting(entry, values, "duration"), text=True)
    else:
        amount = None
    return price * amount if amount is not None and amount >= 0 else None


def _setting(entry: ModelEntry, values: Mapping[str, JSONValue], name: str) -> object:
    if values.get(name) is not None:
        return values[name]
    properties = (entry.input_schema or {}).get("properties")
    rules = properties.get(name) if isinstance(properties, Mapping) else None
    return rules.get("default") if isinstance(rules, Mapping) else None


def _number(value: object, *, text: bool = False) -> float | None:
    """A finite number; with `text` also one that an enum of texts holds, such as "5"."""
    if text and isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None


def file_stem(model_id: str) -> str:
    """The name of a file about a model: readable, and no two models share one.

    A digest goes behind the few names that another id, or another case, could give as well.
    """
    stem = model_id.replace("/", "__")
    if stem.replace("__", "/") == model_id and stem == stem.lower() and len(stem) <= 120:
        return stem
    digest = hashlib.blake2b(model_id.encode(), digest_size=8).hexdigest()
    return f"{stem[:120]}-{digest}"


def _text(payload: Mapping[str, object], key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCatalogueEntry:
    """The catalogue gave no entry."""

    why: str
    reached: bool
    """Whether the API is there at all; where it is not, asking about another model is idle."""
