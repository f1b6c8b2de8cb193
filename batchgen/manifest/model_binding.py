"""One model as the rows of this manifest see it: its parameters, and what every row starts from.

Built once a model. Faults of `defaults`, `--param` and `matrix` are found here, once, and not in
each row again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from batchgen.core.errors import Problem
from batchgen.core.jobs import JSONValue
from batchgen.core.schema import (
    Given,
    InputFault,
    InvalidValue,
    Kind,
    Property,
    Schema,
    coerce,
    text_of,
)
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.header import is_blank
from batchgen.manifest.settings import RowSettings
from batchgen.manifest.templates import variable

MEMO_CHARACTERS = 32
MEMO_CELLS = 2000
"""Cells of one column whose meaning is remembered: sizes, switches and scales repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value of one matrix key."""

    key: str
    text: str
    parameter: str | None
    """The API's key; None where only the template uses it."""
    value: JSONValue


class ModelBinding:
    """The parameters of one model under one recipe."""

    def __init__(self, model: str, schema: Schema | None, recipe: RowSettings) -> None:
        self.model = model
        self.schema = schema
        self.problems: list[Problem] = []
        """What is wrong for every row of this model."""
        self.values: dict[str, JSONValue] = {}
        """What every input starts from: `defaults`, then `--param`."""
        self.texts: dict[str, str] = {}
        """The same for templates, as written."""
        self._recipe = recipe
        self._read_base()
        self.matrix = self._read_matrix()
        self.size = math.prod(len(cells) for cells in self.matrix)
        """How many combinations the matrix has."""

    @property
    def text_parameter(self) -> str | None:
        """What the prompt is called in the body."""
        return self.schema.text_parameter if self.schema else "prompt"

    def parameter(self, name: str) -> str | None:
        """The API's key for a name in the manifest; without a schema only the prompt is known."""
        word = name.strip().casefold()
        own = self.schema.parameter(name) if self.schema else None
        return own or (self.text_parameter if word == "prompt" else None)

    def property_of(self, parameter: str) -> Property:
        """What the schema says of a parameter; nothing where there is none."""
        known = self.schema.properties.get(parameter) if self.schema else None
        if known is None:
            text = parameter == self.text_parameter
            return _TEXT if text else Property(name=parameter)
        return known

    def read(self, parameter: str, given: Given, *, decimal_comma: bool = False) -> JSONValue:
        """A value in the parameter's type; raises `InvalidValue` unless nothing is validated."""
        try:
            return coerce(self.property_of(parameter), given, decimal_comma=decimal_comma)
        except InvalidValue:
            if self._recipe.validate:
                raise
            return coerce(Property(name=parameter), given)

    def reader(
        self, parameter: str, *, decimal_comma: bool = False
    ) -> Callable[[Given], JSONValue]:
        """`read` for every cell of one column: what a short cell means is worked out once."""
        prop = self.property_of(parameter)
        if prop.kinds == (Kind.TEXT,) and not prop.choices:
            return partial(self.read, parameter)
        memo: dict[str, JSONValue] = {}

        def read(given: Given) -> JSONValue:
            if not isinstance(given, str) or len(given) > MEMO_CHARACTERS:
                return self.read(parameter, given, decimal_comma=decimal_comma)
            if given in memo:
                return memo[given]
            value = self.read(parameter, given, decimal_comma=decimal_comma)
            if len(memo) < MEMO_CELLS and not isinstance(value, (list, dict)):
                memo[given] = value
            return value

        return read

    def check(self, values: Mapping[str, JSONValue]) -> tuple[InputFault, ...]:
        """What is wrong with a whole input."""
        if self.schema is not None:
            return self.schema.check(values) if self._recipe.validate else ()
        return () if "prompt" in values else (_NO_PROMPT,)

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that an input cannot do without."""
        if self.schema is None:
            return ("prompt",)
        return self.schema.required if self._recipe.validate else ()

    @property
    def given(self) -> set[str]:
        """The parameters that every row has from the settings."""
        cells = (cell.parameter for cells in self.matrix for cell in cells)
        return {*self.values, *(name for name in cells if name is not None)}

    def combinations(self) -> Iterator[tuple[Cell, ...]]:
        """Every combination of the matrix, in its own order; one empty one without a matrix."""
        return itertools.product(*self.matrix)

    def _read_base(self) -> None:
        head = self._recipe.head
        for key, given in head.defaults.items():
            self._base_value(key, given, head.where(f"defaults.{key}"))
        for key, text in self._recipe.params.items():
            self._base_value(key, text, f"--param {key}")

    def _base_value(self, key: str, given: Given, where: str) -> None:
        if is_blank(given):
            return
        self.texts[variable(key)] = text_of(given)
        parameter = self._parameter_or_variable(key, where)
        if parameter is None:
            return
        value = self._checked(parameter, given, where)
        if value is not None:
            self.values[parameter] = value

    def _parameter_or_variable(self, key: str, where: str) -> str | None:
        """The parameter that a key of the settings means; a problem where it means nothing."""
        parameter = self.parameter(key)
        if parameter is None and self.schema is None:
            return key
        if parameter is None and variable(key) not in self._recipe.variables:
            hint = did_you_mean(key, self.schema.names if self.schema else ())
            what = f"is no parameter of {self.model} and no template uses it{hint}"
            self.problems.append(Problem(where, what))
        return parameter

    def _checked(self, parameter: str, given: Given, where: str) -> JSONValue:
        """The value by itself; None, with a problem, where it can never be right."""
        try:
            value = self.read(parameter, given)
        except InvalidValue as unfit:
            self.problems.append(Problem(where, str(unfit)))
            return None
        faults = [f for f in self.check({parameter: value}) if f.parameter == parameter]
        self.problems.extend(Problem(where, str(fault)) for fault in faults)
        return None if faults else value

    def _read_matrix(self) -> list[list[Cell]]:
        rows = []
        for key, values in self._recipe.head.matrix.items():
            where = self._recipe.head.where(f"matrix.{key}")
            parameter = self._parameter_or_variable(key, where)
            cells = [self._cell(key, parameter, given, where) for given in values]
            rows.append([cell for cell in cells if cell is not None])
        return rows

    def _cell(self, key: str, parameter: str | None, given: Given, where: str) -> Cell | None:
        value = self._checked(parameter, given, where) if parameter else None
        if parameter and value is None:
            return None
        return Cell(key=key, text=text_of(given), parameter=parameter, value=value)


_NO_PROMPT = InputFault("prompt", "", "is missing", is_missing=True)
_TEXT = Property(name="prompt", kinds=(Kind.TEXT,))
