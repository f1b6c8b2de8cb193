"""What each column of one header means for one model: the plan by which its rows are read.

Only the plan; how it is worked out is in `columns`, how it is used in `draft`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from batchgen.core.errors import Problem
from batchgen.core.jobs import JSONValue
from batchgen.core.schema import Given
from batchgen.manifest.header import Header
from batchgen.manifest.templates import Template


class Take(NamedTuple):
    """A column that fills a parameter."""

    column: int
    parameter: str
    read: Callable[[Given], JSONValue]


class Clash(NamedTuple):
    """A column that must be empty where another one (None: the matrix) is given."""

    column: int
    other: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one of our words comes from: a column, or a template over columns."""

    index: int = -1
    template: Template | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Layout:
    """The meaning of one header for one model."""

    header: Header
    takes: list[Take] = field(default_factory=list)
    made: list[tuple[str, Template]] = field(default_factory=list)
    """Parameters that a template over columns fills."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Of our words other than the prompt, where the header has them."""
    variables: list[tuple[str, int]] = field(default_factory=list)
    """What templates read from this header: name and column."""
    labels: dict[str, str] = field(default_factory=dict)
    """Parameter -> how messages name its column."""
    clashes: list[Clash] = field(default_factory=list)
    nobody_gives: frozenset[str] = frozenset()
    """Needed parameters without a column: said once of the header, not of each row."""
    lacks: frozenset[str] = frozenset()
    """Variables that no row of this header can fill: said once too."""
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the header or the settings: nobody's row."""
    row_faults: list[tuple[str, str]] = field(default_factory=list)
    """Label and fault of keys that each row has of its own."""
    needs_care: bool = False
    """Whether rows need more than `takes`."""
