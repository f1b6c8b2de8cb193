"""YAML to start from: the example on a model's page, and a whole commented manifest.

It is written as text, for the sake of the comments. Every value is written as JSON, which YAML
reads without surprises: `"16:9"` and `"no"` stay texts.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from batchgen.core.json_reader import JSONValue
from batchgen.core.model_entry import ModelEntry
from batchgen.reports.parameter_text import SAMPLE_PROMPT, Parameter, parameters_of
from batchgen.reports.terminal import tame, visible

SECOND_PROMPT = "A red fox in fresh snow, linocut in two colours"
COMMENT_COLUMNS = 92
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def snippet(entry: ModelEntry) -> str:
    """Return the smallest manifest: the model, and one row with its required parameters."""
    return "\n".join([f"model: {entry.model_id}", "prompts:", *_first_row(entry)])


def starter(entry: ModelEntry, file: str) -> str:
    """Return a whole manifest with comments; `file` is its name on a command line."""
    optional = [one for one in parameters_of(entry) if not (one.is_required or one.is_prompt)]
    lines = (*_head(entry, file), "", *_defaults(optional), *_prompts(entry), *_RUN)
    return "\n".join(lines) + "\n"


def _head(entry: ModelEntry, file: str) -> Iterator[str]:
    yield f"# {tame(entry.display_name) or entry.model_id}"
    if entry.model_url:
        yield f"# {tame(entry.model_url)}"
    yield "#"
    yield f"#   batchgen check {file}             every row against the model's limits; free"
    yield f"#   batchgen run {file} --sandbox     in the sandbox, with generated test files; free"
    yield f"#   batchgen run {file}               for real: every job costs money"
    yield ""
    yield f"model: {entry.model_id}"


def _defaults(optional: Sequence[Parameter]) -> Iterator[str]:
    if not optional:
        return
    yield "defaults:   # every job starts from these; remove a # to set one"
    for one in optional:
        yield from _comment("; ".join((one.takes, *one.limits)))
        yield f"  # {_yaml_key(one.name)}: {_yaml_value(one.example())}"
    yield ""


def _prompts(entry: ModelEntry) -> Iterator[str]:
    yield "prompts:    # texts, or mappings with parameters of their own"
    for one in _given(entry):
        if one.limits:
            yield from _comment(f"{one.name}: {'; '.join(one.limits)}")
    yield from _first_row(entry)
    if prompt := _only_prompt(entry):
        yield "  - id: fox          # your own id: the files are named after it"
        yield f"    {_yaml_key(prompt.name)}: {_yaml_value(prompt.fitted(SECOND_PROMPT))}"
    yield "  # - file: prompts.csv   # a spreadsheet beside this file"


_RUN = (
    "",
    "run:",
    "  concurrency: 8          # maximum number of jobs in flight",
)


def _first_row(entry: ModelEntry) -> Iterator[str]:
    given = _given(entry)
    if not given or _only_prompt(entry):
        yield f"  - {_yaml_value(given[0].sample() if given else SAMPLE_PROMPT)}"
        return
    for index, one in enumerate(given):
        indent = "    " if index else "  - "
        yield f"{indent}{_yaml_key(one.name)}: {_yaml_value(one.sample())}"


def _given(entry: ModelEntry) -> list[Parameter]:
    """Return the parameters that a row must give."""
    return [one for one in parameters_of(entry) if one.is_required or one.is_prompt]


def _only_prompt(entry: ModelEntry) -> Parameter | None:
    """Return the prompt, if a row needs nothing else and can be a plain text."""
    given = _given(entry)
    return given[0] if len(given) == 1 and given[0].is_prompt else None


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, COMMENT_COLUMNS, break_long_words=False):
        yield f"  # {line}"


def _yaml_key(name: str) -> str:
    """Return a key, quoted if YAML would read it as something else."""
    plain = _PLAIN_KEY.fullmatch(name) and name.lower() not in _YAML_WORDS
    return name if plain else _yaml_value(name)


def _yaml_value(value: JSONValue) -> str:
    """Return a value on one line."""
    return visible(msgspec.json.encode(value).decode())
