"""`batchgen models`: list the known models, or show one."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import Description, Listing, describe, list_models
from batchgen.core.model_entry import ModelEntry
from batchgen.core.units import count_text
from batchgen.reports.manifest_starter import snippet
from batchgen.reports.parameter_text import Parameter, parameters_of
from batchgen.reports.terminal import tame

COLUMNS = 96
NO_PRICE = "not known; the live catalogue has it, and asking it needs a token (RUNCOMFY_TOKEN)"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """List the models that are known, or show one with its parameters, limits and price."""
    console, say = context.console, context.console.say
    if args.model is not None:
        found = describe(context, args.model, refresh=args.refresh)
        for note in found.notes:
            say(note)
        if args.json:
            console.print_json(_description_json(found))
        else:
            console.print_lines(*_page(found))
        return 0
    listing, note = list_models(
        context, search=args.search, category=args.category, refresh=args.refresh
    )
    if note:
        say(note)
    say(f"{count_text(len(listing.entries), 'model')} from {listing.source}")
    if args.json:
        console.print_json(_listing_json(listing))
    else:
        console.print_lines(*_lines(listing))
    return 0


def _listing_json(listing: Listing) -> dict[str, object]:
    return {"source": listing.source, "models": [_entry_json(one) for one in listing.entries]}


def _entry_json(entry: ModelEntry) -> dict[str, object]:
    return {
        "model_id": entry.model_id,
        "name": entry.display_name,
        "categories": entry.categories,
        "base_price_usd": entry.base_price_usd,
        "price_unit": entry.price_unit,
        "pricing_note": entry.pricing_note,
        "model_url": entry.model_url,
    }


def _lines(listing: Listing) -> Iterator[str]:
    width = max((len(entry.model_id) for entry in listing.entries), default=0)
    for entry in listing.entries:
        price = price_text(entry.base_price_usd, entry.price_unit or "")
        name = tame(entry.display_name)
        yield f"{tame(entry.model_id):<{width}}  {name}{'  ' + price if price else ''}".rstrip()


def price_text(usd: float | None, unit: str) -> str:
    """Return `0.036 USD per output`; empty for no price."""
    if usd is None:
        return ""
    return f"{usd:.6f}".rstrip("0").rstrip(".") + f" USD per {tame(unit) or '(unit not told)'}"


def _description_json(found: Description) -> dict[str, object]:
    return _entry_json(found.entry) | {
        "price_origin": found.price_origin,
        "schema_origin": found.schema_origin,
        "parameters": [_parameter_json(one) for one in parameters_of(found.entry)],
        "input_schema": found.entry.input_schema,
        "manifest": snippet(found.entry),
    }


def _parameter_json(one: Parameter) -> dict[str, object]:
    return {
        "name": one.key,
        "aliases": one.aliases,
        "takes": one.takes,
        "required": one.is_required,
        "limits": one.limits,
        "default": one.default,
    }


def _page(found: Description) -> Iterator[str]:
    entry = found.entry
    yield entry.model_id
    yield from (tame(text) for text in (entry.display_name, entry.model_url) if text)
    yield f"schema: {found.schema_origin}"
    yield f"price:  {_price(found)}"
    yield ""
    yield from (
        _table(parameters_of(entry))
        if entry.input_schema
        else ("its parameters are not known: nothing of its rows can be checked",)
    )
    yield ""
    yield "A manifest to begin with (batchgen init writes a longer one):"
    yield ""
    yield textwrap.indent(snippet(entry), "    ")


def _price(found: Description) -> str:
    if found.price is None:
        return NO_PRICE
    note = f"; {tame(found.price.note)}" if found.price.note else ""
    text = price_text(found.price.usd, found.price.unit)
    return f"{text}{note} ({found.price_origin})"


def _table(parameters: tuple[Parameter, ...]) -> Iterator[str]:
    heads = [(one.key, _takes(one)) for one in parameters]
    first = max((len(name) for name, _ in heads), default=0)
    second = max((len(takes) for _, takes in heads), default=0)
    for one, (name, takes) in zip(parameters, heads, strict=True):
        lead = f"  {name:<{first}}  {takes:<{second}}  "
        body = textwrap.wrap(
            "; ".join(_facts(one)), max(30, COLUMNS - len(lead)),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        for line in body or [""]:
            yield (lead + line).rstrip()
            lead = " " * len(lead)


def _takes(one: Parameter) -> str:
    return f"{one.takes}, {'required' if one.is_required else 'optional'}"


def _facts(one: Parameter) -> Iterator[str]:
    if one.aliases:
        yield f"also called {', '.join(one.aliases)}"
    yield from one.limits
    if one.default is not None:
        yield f"default {one.default}"
