"""YAML to begin with: a snippet for a model's page, and a whole commented manifest.

Written as text, because comments are the point. Every value is a JSON scalar or list, which YAML
reads as what it is: `16:9` and `no` stay the texts that they are.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from batchgen.core.jobs import JSONValue
from batchgen.core.model_entry import ModelEntry
from batchgen.reports.parameter_text import SAMPLE_PROMPT, Parameter, parameters_of
from batchgen.reports.terminal import tame, visible

SECOND_PROMPT = "A red fox in fresh snow, linocut in two colours"
COMMENT_COLUMNS = 92
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def snippet(entry: ModelEntry) -> str:
    """The smallest manifest: the model, and one prompt with every parameter that is required."""
    return "\n".join([f"model: {entry.model_id}", "prompts:", *_first_row(entry)])


def starter(entry: ModelEntry, file: str) -> str:
    """A whole manifest with comments; `file` is what to call it on a command line."""
    optional = [one for one in parameters_of(entry) if not (one.is_required or one.is_prompt)]
    return (
        "\n".join([*_head(entry, file), "", *_defaults(optional), *_prompts(entry), *_RUN]) + "\n"
    )


def _head(entry: ModelEntry, file: str) -> Iterator[str]:
    yield f"# {tame(entry.display_name) or entry.model_id}"
    if entry.model_url:
        yield f"# {tame(entry.model_url)}"
    yield "#"
    yield f"#   batchgen check {file}             every row against the model's limits; free"
    yield f"#   batchgen run {file} --sandbox     a rehearsal with made-up pictures; free"
    yield f"#   batchgen run {file}               the real thing: every job costs money"
    yield ""
    yield f"model: {entry.model_id}"


def _defaults(optional: Sequence[Parameter]) -> Iterator[str]:
    if not optional:
        return
    yield "defaults:   # every job starts from these; take the # away to set one"
    for one in optional:
        yield from _comment("; ".join((one.takes, *one.limits)))
        value = one.rules.get("default") if one.default is not None else one.sample()
        yield f"  # {yaml_key(one.name)}: {yaml_value(_as_json(value))}"
    yield ""


def _prompts(entry: ModelEntry) -> Iterator[str]:
    yield "prompts:    # a text, or a mapping with parameters of its own"
    for one in _given(entry):
        if one.limits:
            yield from _comment(f"{one.name}: {'; '.join(one.limits)}")
    yield from _first_row(entry)
    if prompt := _only_prompt(entry):
        yield "  - id: fox          # an id of your own: its files are named after it"
        yield f"    {yaml_key(prompt.name)}: {yaml_value(prompt.fitted(SECOND_PROMPT))}"
    yield "  # - file: prompts.csv   # a spreadsheet beside this file"


_RUN = (
    "",
    "run:",
    "  concurrency: 8          # jobs in flight at most",
)


def _first_row(entry: ModelEntry) -> Iterator[str]:
    given = _given(entry)
    if not given:
        yield f"  - {yaml_value(SAMPLE_PROMPT)}"
        return
    if prompt := _only_prompt(entry):
        yield f"  - {yaml_value(prompt.sample())}"
        return
    for index, one in enumerate(given):
        lead = "  - " if index == 0 else "    "
        yield f"{lead}{yaml_key(one.name)}: {yaml_value(one.sample())}"


def _given(entry: ModelEntry) -> list[Parameter]:
    """What a row has to give."""
    return [one for one in parameters_of(entry) if one.is_required or one.is_prompt]


def _only_prompt(entry: ModelEntry) -> Parameter | None:
    """The prompt, where a row needs nothing else and can be a plain text."""
    given = _given(entry)
    return given[0] if len(given) == 1 and given[0].is_prompt else None


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, COMMENT_COLUMNS, break_long_words=False):
        yield f"  # {line}"


def yaml_key(name: str) -> str:
    """A key, quoted where YAML would take it for something else."""
    plain = _PLAIN_KEY.fullmatch(name) and name.lower() not in _YAML_WORDS
    return name if plain else yaml_value(name)


def yaml_value(value: JSONValue) -> str:
    """A value on one line."""
    return visible(msgspec.json.encode(value).decode())


def _as_json(value: object) -> JSONValue:
    return value if isinstance(value, (str, int, float, list, dict)) else None
