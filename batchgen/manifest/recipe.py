"""The settings that every row goes through, whatever kind of file they came from.

A spreadsheet manifest has all of them empty; a YAML manifest fills them in `head`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batchgen.core.jobs import JSONValue
from batchgen.core.schema import Given
from batchgen.manifest.templates import Template

OUR_WORDS = ("prompt", "id", "model", "repeat", "enabled")
MAX_REPEAT = 10_000
MAX_COMBINATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How the manifest wants its files to be called and where from they may come."""

    dir: str | None = None
    name: str | None = None
    hosts: tuple[str, ...] = ()
    sidecar: bool | None = None
    """Whether a JSON is written beside each file; None where the manifest does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a manifest says besides its rows. All empty for a spreadsheet."""

    file: str
    """Name of the manifest in messages."""
    model: str | None = None
    defaults: Mapping[str, Given] = field(default_factory=dict)
    template: str | None = None
    matrix: Mapping[str, Sequence[Given]] = field(default_factory=dict)
    repeat: int = 1
    run: Mapping[str, JSONValue] = field(default_factory=dict)
    """Run settings by their flag's name with underscores; types are the caller's to check."""
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | None = None
    schema: str | None = None
    output: Output = field(default_factory=Output)
    run_dir: str | None = None
    """A template over `date`, relative to the manifest."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where a key stands: `model`, `defaults.size`, `run.rate`."""

    def where(self, key: str) -> str:
        """The place of a key for a message: `m.yaml:14: run.rate`."""
        line = self.lines.get(key)
        return f"{self.file}:{line}: {key}" if line else f"{self.file}: {key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Head and command line together, templates compiled."""

    head: Head
    model: str | None
    params: Mapping[str, str]
    columns: Mapping[str, str | Template]
    """Our word or a parameter, as written -> a column's name or a template."""
    template: Template | None
    validate: bool

    def place_of_column(self, word: str) -> str:
        """Where a person said which column holds `word`."""
        key = f"columns.{word}"
        return self.head.where(key) if key in self.head.lines else f"--column {word}"

    @property
    def variables(self) -> frozenset[str]:
        """What the prompt's template uses."""
        return self.template.variables if self.template else frozenset()
