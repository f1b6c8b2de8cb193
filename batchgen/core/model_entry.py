"""A model as the catalogue of the API describes it: identity, input schema, price.

The form is that of `GET /v1/models/{id}`, as the vendor's command-line tool and ComfyUI nodes read
it. Every field but the id may be missing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batchgen.core.json_reader import JSONValue

_MODEL_ID = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9_.-]+)+")


def is_model_id(text: str) -> bool:
    """Tell whether a text is two or more segments of `[A-Za-z0-9_.-]`, none of them `.` or `..`.

    An id is put unescaped into the path of a call that carries the token, so nothing else may pass.
    """
    return _MODEL_ID.fullmatch(text) is not None


def fault_of_model_id(name: str) -> str:
    """Return the message about a name, as it is shown, that is not in the form of a model's id."""
    return f"{name} is not a valid model; models are named maker/model/..."


class SchemaOrigin(StrEnum):
    """The sources of a model's schema, in their order: the first that has one decides."""

    RUN_DIRECTORY = "the run directory"
    """First, because types decide identity, and that must not change under a batch."""
    MANIFEST = "`schema:`"
    CATALOGUE = "the catalogue"
    PACKAGE = "the package"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One entry of the catalogue."""

    model_id: str
    display_name: str = ""
    categories: tuple[str, ...] = ()
    """Their names end in the kind of output: image, video or audio."""
    input_schema: Mapping[str, object] | None = None
    """As published, with the API's own types (`float`, `image_uri`...)."""
    base_price_usd: float | None = None
    price_unit: str | None = None
    """The unit that the price is for: `output`, `second`, or one unknown to this version."""
    pricing_note: str = ""
    model_url: str = ""


def read_entry(payload: object) -> ModelEntry | None:
    """Return a catalogue entry from its JSON; None if it does not name a model."""
    if not isinstance(payload, dict) or not isinstance(payload.get("model_id"), str):
        return None
    schema, categories = payload.get("input_schema"), payload.get("categories")
    names = categories if isinstance(categories, list) else []
    price = _number(payload.get("base_price_usd"))
    return ModelEntry(
        model_id=payload["model_id"],
        display_name=_text(payload, "display_name"),
        categories=tuple(name for name in names if isinstance(name, str)),
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
    """Items on the page, unreadable ones included, because the next offset counts them."""
    total: int | None
    """Items of the whole listing; None if the API does not say."""


def read_page(payload: object) -> ModelPage | None:
    """Return a page from its JSON; None if it is not a listing."""
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
"""The names that models use for the number of outputs of a job."""


def estimate_usd(entry: ModelEntry, values: Mapping[str, JSONValue]) -> float | None:
    """Return the expected cost of one job with this input; None if it is not known (0 is a price).

    A price per output is multiplied by the count in the input, or 1; a price per second by the
    `duration` in the input, or its published default, which the API then uses.
    """
    price = entry.base_price_usd
    if price is None:
        return None
    if entry.price_unit == "output":
        counts = [values[name] for name in COUNT_PARAMETERS if values.get(name) is not None]
        amount = _number(counts[0], text=True) if counts else 1.0
    elif entry.price_unit == "second":
        amount = _number(_parameter(entry, values, "duration"), text=True)
    else:
        amount = None
    return price * amount if amount is not None and amount >= 0 else None


def _parameter(entry: ModelEntry, values: Mapping[str, JSONValue], name: str) -> object:
    """Return the value of a parameter, or else its published default."""
    if values.get(name) is not None:
        return values[name]
    properties = (entry.input_schema or {}).get("properties")
    rules = properties.get(name) if isinstance(properties, Mapping) else None
    return rules.get("default") if isinstance(rules, Mapping) else None


def _number(value: object, *, text: bool = False) -> float | None:
    """Return a finite number; with `text` also from a text such as "5", as some enums have it."""
    if text and isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None


def file_stem(model_id: str) -> str:
    """Return the name of a file about a model: readable, and different for every model.

    A digest is appended to the few names that another id, or the same in another case, would have.
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
    """The reason why the catalogue gave no entry."""

    why: str
    reached: bool
    """False if the API does not answer at all: then there is no use in asking for another model."""
