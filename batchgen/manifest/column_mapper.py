"""Meaning of a header's columns for one model: ours, parameters, mapped, mistyped, carried.

`ColumnMapper` works out a `ColumnPlan` once for each header; `rows` reads each row by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchgen.core.errors import Problem
from batchgen.core.json_reader import JSONValue
from batchgen.core.schema.values import Given
from batchgen.core.spreadsheet import OUR_WORDS
from batchgen.core.suggest import did_you_mean, nearest
from batchgen.manifest.header import NO_HEADER, Header, HeaderKind, folded, is_secret
from batchgen.manifest.templates import Template, variable
from batchgen.manifest.unintended import cell_reader, prompt_reader

if TYPE_CHECKING:
    from batchgen.manifest.model_binding import ModelBinding


class ColumnToParameter(NamedTuple):
    """A column that fills a parameter."""

    column: int
    parameter: str
    read: Callable[[Given], JSONValue]


class Clash(NamedTuple):
    """A column that must be empty if another one (None: the matrix) is given."""

    column: int
    other: int | None
    reason: str


@dataclass(slots=True, kw_only=True, eq=False)
class ColumnPlan:
    """The meaning of one header for one model."""

    header: Header
    binding: ModelBinding
    to_parameters: list[ColumnToParameter] = field(default_factory=list)
    templates: list[tuple[str, Template]] = field(default_factory=list)
    """Parameters that a template over columns fills."""
    our_words: dict[str, int | Template] = field(default_factory=dict)
    """Our words other than the prompt -> the column, or the template, that gives them."""
    variables: list[tuple[str, int]] = field(default_factory=list)
    """What templates read from this header: name and column."""
    labels: dict[str, str] = field(default_factory=dict)
    """Parameter -> its column in messages."""
    clashes: list[Clash] = field(default_factory=list)
    not_given: frozenset[str] = frozenset()
    """Needed parameters without a column: reported once for the header, not for each row."""
    unknown_variables: frozenset[str] = frozenset()
    """Variables that no row of this header can fill: reported once as well."""
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the header or the settings, for all rows."""
    row_faults: list[tuple[str, str]] = field(default_factory=list)
    """Label and fault of keys that each row has of its own."""
    is_plain: bool = True
    """Whether columns fill parameters and nothing else: no template, no clash."""
    hints: dict[str, str] = field(default_factory=dict)
    """Needed parameter -> what to do in a row that does not give it."""
    only_carried: tuple[str, ...] = ()
    """Columns that are neither sent nor used in any other way."""
    is_wrong_row: bool = False
    """Whether the header seems to be in another row, so that no row is read by it."""
    reported: bool = False
    """Whether `problems` were reported."""

    def uses(self, column: int) -> bool:
        """Return whether a column's value decides about jobs, and is not only carried."""
        ours = (one for one in self.our_words.values() if isinstance(one, int))
        parameters = (one.column for one in self.to_parameters)
        return column in {*parameters, *ours, *(index for _, index in self.variables)}


class ColumnMapper:
    """The work on one `ColumnPlan`; `plan` is called once."""

    def __init__(self, header: Header, binding: ModelBinding) -> None:
        self._header, self._binding, self._settings = header, binding, binding.settings
        self._plan = ColumnPlan(header=header, binding=binding)
        self._plan.problems += binding.problems
        self._by_name: dict[str, int] = {}
        for index, name in enumerate(header.names):
            if name and index not in header.ignored and not is_secret(name):
                self._by_name.setdefault(folded(name), index)
        self._mapped: dict[str, str | Template] = {}
        """What settings map -> the column or template that they say."""
        self._used: set[int] = set()
        self._pointer: Problem | None = None
        """The problem that says where the header seems to be."""
        self._misspelt: set[str] = set()
        """What columns are probably meant to be, whose names have a typo."""

    def plan(self) -> ColumnPlan:
        """Return the plan, with what is wrong with the header in `problems`."""
        for word, source in self._settings.columns.items():
            self._map(word, source)
        for name, index in self._by_name.items():
            if index not in self._used:
                self._read_column(index, name)
        self._find_clashes()
        templates = list(self._all_templates())
        self._find_variables(templates)
        self._find_missing(templates)
        self._find_repeated()
        if self._pointer is not None:
            self._plan.problems = [*self._binding.problems, self._pointer]
        self._plan.only_carried = tuple(self._only_carried())
        self._plan.is_plain = not (self._plan.clashes or templates)
        return self._plan

    def _problem(self, what: str, where: str | None = None) -> None:
        problem = Problem(where or self._place(), what)
        self._plan.problems.append(problem)
        if self._plan.is_wrong_row and self._pointer is None:
            self._pointer = problem

    def _column_fault(self, index: int, what: str) -> None:
        """Add a fault: of the header in a spreadsheet, of each row if rows have their own keys."""
        label = self._header.label(index)
        if self._header.kind is HeaderKind.SHEET:
            self._problem(what, f"{self._place()}: {label}")
        else:
            self._plan.row_faults.append((label, what))

    def _place(self) -> str:
        row = self._header.row
        return f"{self._header.file}:{row}" if row else self._header.file

    def _meaning(self, name: str) -> str | None:
        """Return one of our words, or `=` and the parameter that a name means."""
        word = name.strip().casefold()
        if word in OUR_WORDS and word != "prompt":
            return word
        parameter = self._binding.parameter(name)
        return f"={parameter}" if parameter else None

    def _map(self, word: str, source: str | Template) -> None:
        """Map a word as `columns:` or `--column` says."""
        where = self._settings.place_of_column(word)
        schema = self._binding.schema
        meaning = self._meaning(word) or (None if schema else f"={word.strip()}")
        if meaning is None:
            known = (*OUR_WORDS, *(schema.names if schema else ()))
            what = f"{word!r} is neither one of our words nor a parameter of {self._binding.model}"
            self._problem(what + did_you_mean(word, known), where)
            return
        if self._header.kind is HeaderKind.INLINE and not self._applies(word, source):
            return
        self._mapped[meaning] = source
        if isinstance(source, Template):
            self._put(meaning, source)
        elif (index := self._column(source)) is not None:
            self._used.add(index)
            self._put(meaning, index)
        elif self._header.kind is HeaderKind.SHEET:
            what = f"{self._header.file} has no column {source!r}"
            row = self._row_with(lambda name: name == folded(source))
            hint = self._point_to(row) if row else self._hint_at_columns(source)
            self._problem(f"{what}{hint}", where)

    def _column(self, source: str) -> int | None:
        """Return the column with this name, or without a name and with this letter."""
        index = self._by_name.get(folded(source))
        if index is not None or self._header.kind is not HeaderKind.SHEET:
            return index
        return next(
            (i for i in self._header.nameless if folded(source) in _letters(self._header, i)), None
        )

    def _row_with(self, is_meant: Callable[[str], bool]) -> int | None:
        """Return the row below the header that seems to be the header, by one of its names."""
        return next((row for row, names in self._header.below if any(map(is_meant, names))), None)

    def _point_to(self, row: int) -> str:
        """Return a hint at the row that seems to be the header; nothing else is worth reporting."""
        self._plan.is_wrong_row = True
        return (
            f"; row {self._header.row} does not seem to be the header, but row {row} does: say "
            f"--header-row {row}, or remove what is above it"
        )

    def _hint_at_columns(self, source: str) -> str:
        return did_you_mean(source, self._by_name) or f"; the columns are {self._columns()}"

    def _applies(self, word: str, source: str | Template) -> bool:
        """Return whether a mapping is meant for a row that is in the manifest itself.

        Such rows may use our own words, whatever a spreadsheet calls them.
        """
        if folded(word) in self._by_name:
            return False
        if isinstance(source, Template):
            known = {variable(name) for name in self._by_name} | self._binding.texts.keys()
            return source.variables - source.optional <= known
        return folded(source) in self._by_name

    def _read_column(self, index: int, name: str) -> None:
        """Read a column under its own name: our word, a parameter, or only carried."""
        meaning = self._meaning(name)
        if meaning is not None:
            if meaning not in self._mapped:
                self._put(meaning, index)
        elif self._is_unknown_parameter(name):
            self._put(f"={self._header.names[index]}", index)
        elif name == "prompt" and (schema := self._binding.schema):
            names = ", ".join(schema.properties)
            what = f"{self._binding.model} has no prompt; its parameters are {names}"
            hint = "say which one is meant, as in --column text=prompt"
            self._column_fault(index, f"{what}; {hint}")
        else:
            self._refuse_typo(index, name)

    def _is_unknown_parameter(self, name: str) -> bool:
        """Return whether a key is sent: without a schema, those in the manifest itself are."""
        inline = self._binding.schema is None and self._header.kind is HeaderKind.INLINE
        return inline and variable(name) not in self._settings.variables

    def _refuse_typo(self, index: int, name: str) -> None:
        """Refuse a column that is nearly a parameter: its values would silently not be sent."""
        schema = self._binding.schema
        meant = nearest(name, (*OUR_WORDS, *(schema.properties if schema else ())))
        if meant is None and schema:
            meant = nearest(name, schema.aliases, other_letter=False)
        if meant is None or (meant in self._by_name and name[-1].isdigit()):
            return
        if self._row_with(lambda one: one == meant):
            return  # a title such as `Prompts`; the header is below
        column = self._header.names[index]
        self._misspelt.add(self._meaning(meant) or "")
        hint = f"did you mean {meant!r}? rename it, or say --column {meant}={column!r}"
        self._column_fault(index, f"is not a parameter of {self._binding.model}; {hint}")

    def _put(self, meaning: str, source: int | Template) -> None:
        if not meaning.startswith("="):
            self._plan.our_words.setdefault(meaning, source)
        elif isinstance(source, Template):
            self._plan.templates.append((meaning[1:], source))
        else:
            self._put_parameter(meaning[1:], source)

    def _put_parameter(self, parameter: str, index: int) -> None:
        plan, header = self._plan, self._header
        for column in self._columns_of(parameter):
            reason = f"means {parameter!r}, and so does {header.label(column)}; keep one"
            plan.clashes.append(Clash(index, column, reason))
        read = self._binding.reader(parameter, decimal_comma=header.decimal_comma)
        is_table = header.kind is HeaderKind.SHEET
        if parameter == self._binding.text_parameter:
            directory = Path(self._settings.manifest.file).parent
            read = prompt_reader(read, directory, is_table=is_table)
        elif is_table:
            read = cell_reader(read)
        plan.to_parameters.append(ColumnToParameter(index, parameter, read))
        plan.labels.setdefault(parameter, header.label(index))

    def _columns_of(self, parameter: str | None) -> list[int]:
        return [one.column for one in self._plan.to_parameters if one.parameter == parameter]

    def _find_clashes(self) -> None:
        """Forbid rows to give what the matrix sets: one of the two would silently be lost."""
        for key in self._settings.manifest.matrix:
            named = {i for name, i in self._by_name.items() if variable(name) == variable(key)}
            named.update(self._columns_of(self._binding.parameter(key)))
            matrix = self._settings.manifest.where(f"matrix.{key}")
            reason = f"the row gives it and {matrix} too; keep one"
            self._plan.clashes += [Clash(index, None, reason) for index in sorted(named)]

    def _all_templates(self) -> Iterator[Template]:
        yield from (template for _, template in self._plan.templates)
        yield from (one for one in self._plan.our_words.values() if isinstance(one, Template))
        yield from self._settings.templates

    def _find_variables(self, templates: list[Template]) -> None:
        """Find the columns that templates read. `prompt` is the mapped column, if one is mapped."""
        names = {variable(name): index for name, index in self._by_name.items()}
        for index in self._columns_of(self._binding.text_parameter):
            names.setdefault("prompt", index)
        if self._header.kind is HeaderKind.SHEET:
            for index in self._header.nameless:
                for name in _letters(self._header, index):
                    names.setdefault(variable(name), index)
        for word, source in self._settings.columns.items():
            if isinstance(source, str) and (column := self._column(source)) is not None:
                names[variable(word)] = column
        used = frozenset[str]().union(*(template.variables for template in templates))
        self._plan.variables = [(name, names[name]) for name in sorted(used & names.keys())]
        if self._header.kind is not HeaderKind.SHEET:
            return
        optional = frozenset[str]().union(*(template.optional for template in templates))
        settings = {variable(key) for key in self._settings.manifest.matrix}
        unknown = used - optional - names.keys() - settings - self._binding.texts.keys()
        self._plan.unknown_variables = unknown
        for name in sorted(unknown):
            hint = did_you_mean(name, names) or f"; the columns are {self._columns()}"
            self._problem(f"a template uses {name!r}, which is not a column{hint}")

    def _find_missing(self, templates: list[Template]) -> None:
        """Find needed parameters for which there is no column, default, matrix or template.

        What is missing because something else is wrong is not reported again, here or in any row.
        """
        plan, text = self._plan, self._binding.text_parameter
        given = self._binding.given | {one.parameter for one in plan.to_parameters}
        given |= {parameter for parameter, _ in plan.templates}
        if self._settings.template and text:
            given.add(text)
        missing = [name for name in self._binding.required if name not in given]
        is_sheet = self._header.kind is HeaderKind.SHEET
        excused = {name for name in missing if f"={name}" in self._misspelt}
        if is_sheet:
            excused |= {name for name in missing if f"={name}" in self._mapped}
            for name in missing:
                if name not in excused:
                    self._problem(self._what_is_missing(name))
            excused.update(missing)
        elif text in missing and text is not None:
            plan.hints[text] = self._hint_at_keys(text)
        of_prompt = [one for one in templates if one is self._settings.template]
        of_prompt += [one for parameter, one in plan.templates if parameter == text]
        if text and any(one.variables & plan.unknown_variables for one in of_prompt):
            excused.add(text)
        plan.not_given = frozenset(excused)

    def _what_is_missing(self, name: str) -> str:
        if name != self._binding.text_parameter:
            return f"no column and no default for {name!r}, which {self._binding.model} needs"
        what = f"no column 'prompt'; the columns are {self._columns()}"
        if row := self._row_with(lambda one: self._meaning(one) == f"={name}"):
            return what + self._point_to(row)
        what += "; say which one holds the prompt with --column prompt=NAME or under `columns:`"
        return what if any(map(self._meaning, self._by_name)) else f"{what}; {NO_HEADER}"

    def _hint_at_keys(self, text: str) -> str:
        keys = f"the keys are {self._columns()}" if self._by_name else "there are no keys"
        if isinstance(source := self._mapped.get(f"={text}"), str):
            hint = did_you_mean(source, self._by_name)
            return f"; {self._source_of_prompt()} says {source!r}, and {keys}{hint}"
        others = [self._header.names[index] for index in self._by_name.values()]
        key = others[0] if len(others) == 1 else "KEY"
        return f"; {keys}: say which one holds the prompt with --column prompt={key}"

    def _source_of_prompt(self) -> str:
        text = self._binding.text_parameter
        words = (word for word in self._settings.columns if self._meaning(word) == f"={text}")
        return self._settings.place_of_column(next(words, "prompt"))

    def _find_repeated(self) -> None:
        """Refuse a name that several columns have, if it is not clear which of them is meant."""
        used = self._indexes_in_use()
        for first, last in self._header.repeated.items():
            if first in used or first in self._used:
                both = f"columns {self._header.letter(first)} and {self._header.letter(last)}"
                self._problem(f"{self._header.names[last]!r} names {both}; rename one")

    def _indexes_in_use(self) -> set[int]:
        plan = self._plan
        used = {one.column for one in plan.to_parameters} | {index for _, index in plan.variables}
        used.update(one for one in plan.our_words.values() if isinstance(one, int))
        return used | {clash.column for clash in plan.clashes}

    def _only_carried(self) -> Iterator[str]:
        """Yield the names of the columns that only go to the results."""
        used = self._indexes_in_use()
        for index in self._by_name.values():
            if index not in used:
                yield self._header.names[index]

    def _columns(self) -> str:
        """Return the names of the columns for a message, cut if there are many."""
        header = self._header
        names = [repr(_cut(name)) for name in header.names if name]
        if header.kind is HeaderKind.SHEET:
            names += [f"{header.letter(index)} (without a name)" for index in header.nameless]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return ", ".join(names[:12]) + more


def _cut(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


def _letters(header: Header, index: int) -> tuple[str, str]:
    """Return what a column without a name can be called in settings."""
    letter = header.letter(index).casefold()
    return letter, f"column {letter}"
