"""The parameters of a model in words: what each takes, its limits, and a value that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard, cast

from batchgen.core.json_reader import JSONValue
from batchgen.core.model_entry import ModelEntry
from batchgen.core.schema.inputs import SIZE_KEY, Schema
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import text_of
from batchgen.core.spreadsheet import OUR_WORDS
from batchgen.reports.terminal import tame

SAMPLE_PROMPT = "A lighthouse at dusk, oil painting"
SAMPLE_FILE = "https://example.com/replace-me.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a model."""

    name: str
    """As a manifest can write it: an alias, if there is one."""
    key: str
    """The API's own key."""
    prop: Property
    rules: Mapping[str, object]
    """Its JSON schema, as published."""
    is_required: bool
    is_prompt: bool
    aliases: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """The kind of value: `text`, `number`, `address of a file`, `addresses of files`."""
        if self.prop.items is not None and self.prop.items.is_url:
            return "addresses of files"
        if self.prop.is_url:
            return "address of a file"
        words = " or ".join(kind.value.removeprefix("a ") for kind in self.prop.kinds)
        return words.removeprefix("an ") or "anything"

    @property
    def limits(self) -> tuple[str, ...]:
        """Its limits, one sentence each, safe for a terminal."""
        return tuple(_limits(self.prop, self.rules))

    @property
    def default(self) -> str | None:
        """The API's default; None for texts and addresses, whose defaults are only samples."""
        value = self.rules.get("default")
        is_text = self.prop.kinds == (Kind.TEXT,) and not self.prop.choices
        if value is None or value == "" or is_text or self.takes.startswith("address"):
            return None
        return tame(text_of(cast("JSONValue", value)))

    def sample(self) -> JSONValue:
        """Return a value that the model should accept."""
        return _sample(self.prop, self.rules, self.is_prompt)

    def example(self) -> JSONValue:
        """Return the default, or a sample if there is none."""
        has_default = self.default is not None
        return cast("JSONValue", self.rules["default"]) if has_default else self.sample()

    def fitted(self, text: str) -> str:
        """Return a text brought to the length that the parameter allows."""
        return _sample_text(self.rules, text)


def parameters_of(entry: ModelEntry) -> tuple[Parameter, ...]:
    """Return every parameter that a manifest can give: prompt, required ones, then the others."""
    raw = entry.input_schema or {}
    schema = Schema(raw)
    published = raw.get("properties")
    rules = published if isinstance(published, Mapping) else {}
    found = [_parameter(schema, prop, rules.get(key)) for key, prop in schema.properties.items()]
    # A column that is one of our words never fills the parameter of that name, but for the prompt.
    taken = {*OUR_WORDS} - {"prompt"}
    usable = [one for one in found if one.key == tame(one.key) and one.key not in taken]
    return tuple(sorted(usable, key=lambda one: (not one.is_prompt, not one.is_required)))


def _parameter(schema: Schema, prop: Property, rules: object) -> Parameter:
    aliases = schema.aliases if prop.name == SIZE_KEY else ()
    return Parameter(
        name=aliases[0] if aliases else prop.name,
        key=prop.name,
        prop=prop,
        rules=rules if isinstance(rules, Mapping) else {},
        is_required=prop.name in schema.required,
        is_prompt=prop.name == schema.text_parameter,
        aliases=aliases,
    )


def _limits(prop: Property, rules: Mapping[str, object]) -> Iterator[str]:
    if prop.choices:
        yield "one of " + ", ".join(tame(text_of(choice)) for choice in prop.choices)
    yield from _between("minLength", "maxLength", rules, " characters")
    yield from _between("minimum", "maximum", rules, "")
    yield from _between("minItems", "maxItems", rules, " entries")
    if isinstance(step := rules.get("multipleOf"), (int, float)):
        yield f"in steps of {step}"
    listed = rules.get("validations")
    for rule in listed if isinstance(listed, list) else ():
        if isinstance(rule, Mapping) and isinstance(rule.get("validation_error"), str):
            yield tame(str(rule["validation_error"]))


def _between(low: str, high: str, rules: Mapping[str, object], unit: str) -> Iterator[str]:
    least, most = rules.get(low), rules.get(high)
    if _is_number(least) and _is_number(most):
        yield f"{least} to {most}{unit}"
    elif _is_number(most):
        yield f"at most {most}{unit}"
    elif _is_number(least):
        yield f"at least {least}{unit}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sample(prop: Property, rules: Mapping[str, object], is_prompt: bool = False) -> JSONValue:
    if prop.choices:
        default = rules.get("default")
        return next((one for one in prop.choices if one == default), prop.choices[0])
    kind = prop.kinds[0] if prop.kinds else Kind.TEXT
    if kind is Kind.LIST:
        return _sample_list(prop, rules)
    if kind is Kind.TEXT:
        return SAMPLE_FILE if prop.is_url and not is_prompt else _sample_text(rules)
    if kind is Kind.OBJECT:
        return {name: _sample(inner, {}) for name, inner in prop.properties.items()}
    default = rules.get("default")
    if kind is Kind.TRUTH:
        return default is True
    return _sample_number(rules, default)


def _sample_number(rules: Mapping[str, object], default: object) -> int | float:
    for value in (default, rules.get("minimum"), rules.get("maximum")):
        if _is_number(value):
            return value
    return 1


def _sample_text(rules: Mapping[str, object], text: str = SAMPLE_PROMPT) -> str:
    least, most = rules.get("minLength"), rules.get("maxLength")
    if isinstance(least, int) and len(text) < least <= 10_000:
        text = f"{text}, " * (least // len(text) + 1)
    return text[:most] if isinstance(most, int) and most > 0 else text


def _sample_list(prop: Property, rules: Mapping[str, object]) -> list[JSONValue]:
    items = prop.items or Property(name=prop.name)
    inner = rules.get("items")
    sample = _sample(items, inner if isinstance(inner, Mapping) else {})
    if not items.kinds and not items.is_url:
        sample = SAMPLE_FILE
    least = rules.get("minItems")
    count = min(least, 20) if isinstance(least, int) and least > 1 else 1
    return [sample.replace("me", f"me-{n}") if isinstance(sample, str) and n > 1 else sample
            for n in range(1, count + 1)]  # fmt: skip
