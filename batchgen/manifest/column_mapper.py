"""Working out what the columns of a header mean: ours, parameters, mapped, mistyped, carried.

What each column of one header means for one model: the plan by which its rows are read.

Only the plan; how it is worked out is in `columns`, how it is used in `draft`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from batchgen.core.errors import Problem
from batchgen.core.jobs import JSONValue
from batchgen.core.schema import Given
from batchgen.core.suggest import did_you_mean, one_typo_from
from batchgen.manifest.carried_columns import is_secret
from batchgen.manifest.header import Header, HeaderKind, folded
from batchgen.manifest.model_binding import ModelBinding
from batchgen.manifest.settings import OUR_WORDS, RowSettings
from batchgen.manifest.templates import Template, variable


class ColumnToParameter(NamedTuple):
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
class WordSource:
    """Where one of our words comes from: a column, or a template over columns."""

    index: int = -1
    template: Template | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ColumnPlan:
    """The meaning of one header for one model."""

    header: Header
    takes: list[ColumnToParameter] = field(default_factory=list)
    made: list[tuple[str, Template]] = field(default_factory=list)
    """Parameters that a template over columns fills."""
    sources: dict[str, WordSource] = field(default_factory=dict)
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


class ColumnMapper:
    """Works out one layout; `make` is called once."""

    def __init__(self, header: Header, target: ModelBinding, recipe: RowSettings) -> None:
        self._header, self._target, self._recipe = header, target, recipe
        self._layout = ColumnPlan(header=header)
        self._by_name: dict[str, int] = {}
        for index, name in enumerate(header.names):
            if name and index not in header.ignored and not is_secret(name):
                self._by_name.setdefault(folded(name), index)
        self._mapped: set[str] = set()
        self._used: set[int] = set()

    def make(self) -> ColumnPlan:
        """The layout, with what is wrong with the header in `problems`."""
        for word, source in self._recipe.columns.items():
            self._map(word, source)
        for name, index in self._by_name.items():
            if index not in self._used:
                self._column(index, name)
        self._find_clashes()
        self._find_variables()
        if self._header.kind is HeaderKind.SHEET:
            self._find_missing()
        layout = self._layout
        templates = layout.made or any(s.template for s in layout.sources.values())
        layout.needs_care = bool(layout.clashes or templates or self._recipe.template)
        return layout

    def _problem(self, what: str, where: str | None = None) -> None:
        self._layout.problems.append(Problem(where or self._place(), what))

    def _fault_of_column(self, index: int, what: str) -> None:
        """A header is wrong once for all of its rows; keys are each row's own."""
        label = self._header.label(index)
        if self._header.kind is HeaderKind.SHEET:
            self._problem(what, self._place(label))
        else:
            self._layout.row_faults.append((label, what))

    def _place(self, label: str = "") -> str:
        row = f":{self._header.row}" if self._header.row else ""
        return f"{self._header.file}{row}" + (f": {label}" if label else "")

    @property
    def _known(self) -> tuple[str, ...]:
        """Every name that a column can have a meaning by."""
        schema = self._target.schema
        return (*OUR_WORDS, *(schema.names if schema else ()))

    def _meaning(self, name: str) -> str | None:
        """One of our words, or `=` and the parameter that a name stands for."""
        word = name.strip().casefold()
        if word in OUR_WORDS and word != "prompt":
            return word
        parameter = self._target.parameter(name)
        return f"={parameter}" if parameter else None

    def _map(self, word: str, source: str | Template) -> None:
        """`columns:` and `--column`: this word comes from there."""
        where = self._recipe.place_of_column(word)
        meaning = self._meaning(word)
        if meaning is None and self._target.schema is None:
            meaning = f"={word.strip()}"
        if meaning is None:
            what = f"{word!r} is neither one of our words nor a parameter of {self._target.model}"
            self._problem(what + did_you_mean(word, self._known), where)
            return
        if self._header.kind is HeaderKind.INLINE and not self._applies(word, source):
            return
        self._mapped.add(meaning)
        if isinstance(source, Template):
            self._put(meaning, WordSource(template=source))
        elif (index := self._by_name.get(folded(source))) is not None:
            self._used.add(index)
            self._put(meaning, WordSource(index=index))
        elif self._header.kind is HeaderKind.SHEET:
            hint = did_you_mean(source, self._by_name) or f"; the columns are {self._columns()}"
            self._problem(f"{self._header.file} has no column {source!r}{hint}", where)

    def _applies(self, word: str, source: str | Template) -> bool:
        """Rows in the manifest itself may use our own words, whatever a spreadsheet calls them."""
        if folded(word) in self._by_name:
            return False
        if isinstance(source, Template):
            known = {variable(name) for name in self._by_name} | self._target.texts.keys()
            return source.variables - source.optional <= known
        return folded(source) in self._by_name

    def _column(self, index: int, name: str) -> None:
        """A column under its own name: our word, a parameter, or only carried through."""
        meaning = self._meaning(name)
        if meaning is not None and meaning not in self._mapped:
            self._put(meaning, WordSource(index=index))
        elif meaning is None and self._sends_all(name):
            self._put(f"={self._header.names[index]}", WordSource(index=index))
        elif meaning is None and name == "prompt":
            self._fault_of_column(index, self._no_prompt())
        elif meaning is None:
            self._refuse_typo(index, name)

    def _no_prompt(self) -> str:
        names = ", ".join(self._target.schema.properties) if self._target.schema else ""
        return (f"{self._target.model} has no prompt; its parameters are {names}; say which one is "
                "meant, as in --column text=prompt")  # fmt: skip

    def _sends_all(self, name: str) -> bool:
        """Without a schema, keys that stand in the manifest itself are meant as parameters."""
        unknown = self._target.schema is None and self._header.kind is HeaderKind.INLINE
        used = variable(name) in self._recipe.variables
        return unknown and not used

    def _refuse_typo(self, index: int, name: str) -> None:
        schema = self._target.schema
        meant = one_typo_from(name, (*OUR_WORDS, *(schema.properties if schema else ())))
        if meant is None and schema:
            meant = one_typo_from(name, schema.aliases, other_letter=False)
        if meant is None or (meant in self._by_name and name[-1].isdigit()):
            return
        column = self._header.names[index]
        hint = f"did you mean {meant!r}? rename it, or say --column {meant}={column!r}"
        self._fault_of_column(index, f"is no parameter of {self._target.model}; {hint}")

    def _put(self, meaning: str, source: WordSource) -> None:
        if not meaning.startswith("="):
            self._layout.sources.setdefault(meaning, source)
        elif source.template is not None:
            self._layout.made.append((meaning[1:], source.template))
        else:
            self._take(meaning[1:], source.index)

    def _take(self, parameter: str, index: int) -> None:
        label = self._header.label(index)
        for take in self._layout.takes:
            if take.parameter == parameter:
                other = self._header.label(take.column)
                reason = f"means {parameter!r}, and so does {other}; keep one"
                self._layout.clashes.append(Clash(index, take.column, reason))
        read = self._target.reader(parameter, decimal_comma=self._header.decimal_comma)
        self._layout.takes.append(ColumnToParameter(index, parameter, read))
        self._layout.labels.setdefault(parameter, label)

    def _find_clashes(self) -> None:
        """A row that gives what the matrix sets would silently lose one of the two."""
        for key in self._recipe.head.matrix:
            parameter = self._target.parameter(key)
            taken = {take.column for take in self._layout.takes if take.parameter == parameter}
            named = {i for name, i in self._by_name.items() if variable(name) == variable(key)}
            matrix = self._recipe.head.where(f"matrix.{key}")
            for index in sorted(taken | named):
                reason = f"the row gives it and {matrix} too; keep one"
                self._layout.clashes.append(Clash(index, None, reason))

    def _find_variables(self) -> None:
        """Which columns the templates read. `prompt` is the mapped column, if it is mapped."""
        templates = [template for _, template in self._layout.made]
        templates += [s.template for s in self._layout.sources.values() if s.template]
        templates += [self._recipe.template] if self._recipe.template else []
        needed = frozenset().union(*(template.variables for template in templates))
        names = {variable(name): index for name, index in self._by_name.items()}
        for take in self._layout.takes:
            if take.parameter == self._target.text_parameter:
                names.setdefault("prompt", take.column)
        for word, source in self._recipe.columns.items():
            if isinstance(source, str) and folded(source) in self._by_name:
                names[variable(word)] = self._by_name[folded(source)]
        self._layout.variables = [(name, names[name]) for name in sorted(needed & names.keys())]
        if self._header.kind is HeaderKind.SHEET:
            optional = frozenset().union(*(template.optional for template in templates))
            self._refuse_unknown_variables(needed - optional, names)

    def _refuse_unknown_variables(self, needed: frozenset[str], names: dict[str, int]) -> None:
        settings = {variable(key) for key in self._recipe.head.matrix} | self._target.texts.keys()
        self._layout.lacks = needed - names.keys() - settings
        for name in sorted(self._layout.lacks):
            hint = did_you_mean(name, names) or f"; the columns are {self._columns()}"
            self._problem(f"a template uses {name!r}, which is no column{hint}")

    def _find_missing(self) -> None:
        """Needed parameters for which there is no column, default, matrix or template."""
        text = self._target.text_parameter
        given = {take.parameter for take in self._layout.takes} | self._target.given
        given |= {parameter for parameter, _ in self._layout.made}
        if self._recipe.template and text:
            given.add(text)
        missing = [name for name in self._target.required if name not in given]
        self._layout.nobody_gives = frozenset(missing)
        for name in missing:
            self._problem(self._missing_text(name, is_text=name == text))

    def _missing_text(self, name: str, *, is_text: bool) -> str:
        if is_text:
            return (f"no column 'prompt'; the columns are {self._columns()}; say which one "
                    "holds the prompt with --column prompt=NAME or under `columns:`")  # fmt: skip
        return f"no column and no default for {name!r}, which {self._target.model} needs"

    def _columns(self) -> str:
        names = [name for name in self._header.names if name]
        cut = [name if len(name) <= 40 else name[:39] + "…" for name in names[:12]]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return ", ".join(repr(name) for name in cut) + more
