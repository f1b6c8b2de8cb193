"""Models as the rows of a manifest see them: each with its schema and the manifest's settings.

A binding is built once for each model. Faults of `defaults`, `--param` and `matrix` are found
here, and not in each row again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.input_files import MediaRules
from batchgen.core.jobs import Asset, Place, with_values
from batchgen.core.json_reader import BadJSON, JSONValue, decode_json
from batchgen.core.model_entry import SchemaOrigin
from batchgen.core.schema.coercion import LocalPath, coerce
from batchgen.core.schema.inputs import InputFault, Schema
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import Given, InvalidValue, text_of
from batchgen.core.spreadsheet import FILE_COLUMN
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.header import is_blank
from batchgen.manifest.templates import variable

if TYPE_CHECKING:
    from batchgen.manifest.settings import RowSettings

MAX_COMBINATIONS = 100_000
"""Jobs of one row."""
MAX_MODELS = 500
"""Bindings that are kept; more than the catalogue has models."""
MAX_SCHEMA_BYTES = 4 << 20
MEMO_CHARACTERS = 32
MEMO_CELLS = 2000
"""Cells of one column whose meaning is remembered: sizes, switches and scales repeat."""

_STAND_IN_URL = "https://playgrounds-storage-public.runcomfy.net/input.png"
"""In the place of an address that is not known yet, while an input is checked."""

_NO_PROMPT = InputFault("prompt", "", "is missing", is_missing=True)
_TEXT = Property(name="prompt", kinds=(Kind.TEXT,))


class SchemaSource(Protocol):
    """Source of models' schemas."""

    def schema_for(self, model_id: str) -> Schema | None:
        """Return the input schema of a model, None if none is known. Called once per model."""

    def origin_of(self, model_id: str) -> str:
        """Return where that schema came from, for people: `the catalogue, 2 h old`."""


class OwnSchema:
    """The schema in the file that the manifest names under `schema:`, as a source of schemas.

    The file has a bare schema, which is for `model` (None: for every one that the rows name), or a
    whole catalogue entry, which names its model itself. Raises `ManifestError` for anything else.
    """

    def __init__(self, path: Path, name: str, where: str, model: str | None) -> None:
        try:
            if path.stat().st_size > MAX_SCHEMA_BYTES:
                raise ManifestError([Problem(where, f"{name!r} is too large for a schema")])
            entry = decode_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except (BadJSON, OSError) as error:
            what = f"{name!r} is not valid JSON: {error}"
            raise ManifestError([Problem(where, what)]) from None
        entry = entry if isinstance(entry, dict) else {}
        schema = entry.get("input_schema", entry)
        if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
            what = f"{name!r} is not a schema: expected an object with `properties`"
            raise ManifestError([Problem(where, what)])
        named = entry.get("model_id")
        self._model = named if isinstance(named, str) else model
        self._schema = Schema(schema)
        self._name = name

    def schema_for(self, model_id: str) -> Schema | None:
        """Return the schema, if it is for this model."""
        return self._schema if self._model in (None, model_id) else None

    def origin_of(self, model_id: str) -> str:  # noqa: ARG002 - the same for every model
        """Return the file's name, for people."""
        return f"{self._name}, which the manifest names"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixValue:
    """One value of one matrix key."""

    key: str
    text: str
    parameter: str | None
    """The API's key; None if only the template uses it."""
    value: JSONValue


class ModelBinding:
    """The parameters of one model, and what every row of this manifest starts from."""

    def __init__(self, model: str, schema: Schema | None, settings: RowSettings) -> None:
        self.model = model
        self.schema = schema
        self.problems: list[Problem] = []
        """What is wrong for every row of this model."""
        self.values: dict[str, JSONValue] = {}
        """What every input starts from: `defaults`, then `--param`."""
        self.texts: dict[str, str] = {}
        """The same for templates, as written."""
        self.text_parameter = schema.text_parameter if schema else "prompt"
        """What the prompt is called in the body."""
        self.settings = settings
        self._media = MediaRules.of(schema)
        if settings.manifest.is_directory and self._file_parameter() is None:
            why = "takes no file" if schema else "has no known schema, so what takes a file is not"
            what = f"{model} {why}; name the files in a spreadsheet"
            self.problems.append(Problem(settings.manifest.file, what))
        self._read_defaults()
        self._matrix = [
            list(self._matrix_values(key, values))
            for key, values in settings.manifest.matrix.items()
        ]
        self.combination_count = self._count_combinations()

    def parameter(self, name: str) -> str | None:
        """Return the API's key for a name; without a schema only the prompt is known."""
        own = self.schema.parameter(name) if self.schema else None
        if self.settings.manifest.is_directory and name == FILE_COLUMN:
            return self._file_parameter()
        return own or (self.text_parameter if name.strip().casefold() == "prompt" else None)

    def _file_parameter(self) -> str | None:
        """Return the parameter that takes the files of a directory: a required one first."""
        known = self.schema.properties if self.schema else {}
        takes_file = [name for name, prop in known.items() if _takes_file(prop)]
        needed = (name for name in takes_file if name in self.required)
        return next(needed, next(iter(takes_file), None))

    def read(self, parameter: str, given: Given) -> JSONValue:
        """Return a value in the parameter's type; raise `InvalidValue` if it cannot have that."""
        return coerce(self._property(parameter), given)

    def reader(
        self, parameter: str, *, decimal_comma: bool = False
    ) -> Callable[[Given], JSONValue]:
        """Return `read` for the cells of one column: a short cell's meaning is found once."""
        prop = self._property(parameter)
        if prop.kinds == (Kind.TEXT,) and not prop.choices:
            return partial(coerce, prop)
        memo: dict[str, JSONValue] = {}

        def read(given: Given) -> JSONValue:
            if not isinstance(given, str) or len(given) > MEMO_CHARACTERS:
                return coerce(prop, given, decimal_comma=decimal_comma)
            if given in memo:
                return memo[given]
            value = coerce(prop, given, decimal_comma=decimal_comma)
            if len(memo) < MEMO_CELLS and not isinstance(value, (list, dict)):
                memo[given] = value
            return value

        return read

    def assets_of(
        self, values: Mapping[str, JSONValue], fault: Callable[[str, str], None]
    ) -> dict[Place, Asset]:
        """Return the files on this machine that an input names.

        `fault` gets the parameter and what is wrong with its file.
        """
        for parameter, value in values.items():
            if _has_nested_path(value):
                fault(parameter, "has no address in it; expected a public https:// address")
        found: dict[Place, Asset] = {}
        for place, name in _places_of(values):
            limit_mb = self._media.limit_mb(place[0])
            try:
                found[place] = self.settings.local_files.asset(name, place[0], limit_mb=limit_mb)
            except InvalidValue as unfit:
                fault(place[0], str(unfit))
        return found

    @staticmethod
    def stand_in(position: int | None) -> str:
        """Return an address for a place that gets one later, with which an input can be checked."""
        return _STAND_IN_URL if position is None else f"{_STAND_IN_URL}?{position}"

    def takes_list(self, parameter: str) -> bool:
        """Tell whether the model wants a list of values, as of reference images."""
        return Kind.LIST in self._property(parameter).kinds

    def takes_text(self, parameter: str) -> bool:
        """Tell whether a parameter is free text."""
        return self._property(parameter).kinds == (Kind.TEXT,)

    def check(self, values: Mapping[str, JSONValue]) -> tuple[InputFault, ...]:
        """Return what is wrong with a whole input; names of files count as addresses."""
        if names := _places_of(values):
            values = with_values(values, {place: self.stand_in(place[1]) for place, _ in names})
        if self.schema is not None:
            return self.schema.check(values)
        return () if "prompt" in values else (_NO_PROMPT,)

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that an input cannot do without."""
        return self.schema.required if self.schema else ("prompt",)

    @property
    def given(self) -> set[str]:
        """The parameters that every row has from the settings."""
        matrix = (one.parameter for values in self._matrix for one in values)
        return {*self.values, *(name for name in matrix if name is not None)}

    def combinations(self) -> Iterator[tuple[MatrixValue, ...]]:
        """Yield every combination of the matrix in its order; one empty one without a matrix."""
        chosen = self.settings.combinations
        if chosen is None:
            return itertools.product(*self._matrix)
        return (
            one
            for one in itertools.product(*self._matrix)
            if tuple(value.text for value in one) in chosen
        )

    def _count_combinations(self) -> int:
        if self.settings.combinations is None:
            return math.prod(map(len, self._matrix))
        return sum(1 for _ in self.combinations())

    def _property(self, parameter: str) -> Property:
        known = self.schema.properties.get(parameter) if self.schema else None
        if known is None:
            return _TEXT if parameter == self.text_parameter else Property(name=parameter)
        return known

    def _read_defaults(self) -> None:
        settings = self.settings
        sources: list[tuple[str, Given, str]] = [
            (key, given, settings.manifest.where(f"defaults.{key}"))
            for key, given in settings.manifest.defaults.items()
        ]
        sources += [(key, text, f"--param {key}") for key, text in settings.params.items()]
        for key, given, where in sources:
            if is_blank(given):
                continue
            self.texts[variable(key)] = text_of(given)
            parameter = self._parameter_or_variable(key, where)
            if parameter and (value := self._checked(parameter, given, where)) is not None:
                self.values[parameter] = value

    def _matrix_values(self, key: str, values: Iterable[Given]) -> Iterator[MatrixValue]:
        if key == "model":
            yield MatrixValue(key=key, text=self.model, parameter=None, value=None)
            return
        where = self.settings.manifest.where(f"matrix.{key}")
        parameter = self._parameter_or_variable(key, where)
        for given in values:
            value = self._checked(parameter, given, where) if parameter else None
            if not parameter or value is not None:
                yield MatrixValue(key=key, text=text_of(given), parameter=parameter, value=value)

    def _parameter_or_variable(self, key: str, where: str) -> str | None:
        """Return the parameter that a key of the settings means; add a problem if it means none."""
        parameter = self.parameter(key)
        if parameter is None and self.schema is None:
            return key
        if parameter is None and variable(key) not in self.settings.variables:
            hint = did_you_mean(key, self.schema.names if self.schema else ())
            what = f"is not a parameter of {self.model} and no template uses it{hint}"
            self.problems.append(Problem(where, what))
        return parameter

    def _checked(self, parameter: str, given: Given, where: str) -> JSONValue:
        """Return the value, checked by itself; None, with a problem, if it can never be right."""
        try:
            value = self.read(parameter, given)
        except InvalidValue as unfit:
            self.problems.append(Problem(where, str(unfit)))
            return None
        faults = [f for f in self.check({parameter: value}) if f.parameter == parameter]
        self.problems.extend(Problem(where, str(fault)) for fault in faults)
        return None if faults else value


def _takes_file(prop: Property) -> bool:
    return prop.is_url or (prop.items is not None and prop.items.is_url)


def _places_of(values: Mapping[str, JSONValue]) -> list[tuple[Place, str]]:
    """Return the places of an input that name a file, with its name."""
    found: list[tuple[Place, str]] = []
    for name, value in values.items():
        if isinstance(value, LocalPath):
            found.append(((name, None), str(value)))
        elif isinstance(value, list):
            found += [
                ((name, position), str(one))
                for position, one in enumerate(value)
                if isinstance(one, LocalPath)
            ]
    return found


def _has_nested_path(value: JSONValue) -> bool:
    """Tell whether a value names a file deeper than in a list, from where none is uploaded."""
    parts = value if isinstance(value, list) else ()
    parts = list(value.values()) if isinstance(value, dict) else [*parts]
    return any(
        _has_nested_path(one) or (isinstance(value, dict) and isinstance(one, LocalPath))
        for one in parts
    )


class ModelBindings:
    """The models that the rows name, each bound when the first row names it."""

    def __init__(
        self, settings: RowSettings, sources: Mapping[SchemaOrigin, SchemaSource | None]
    ) -> None:
        self._settings = settings
        self._sources = [source for origin in SchemaOrigin if (source := sources.get(origin))]
        """The first that has a schema decides."""
        self.origins: dict[str, str] = {}
        """Where the schema of each model came from, for people."""
        self.schemas: dict[str, Schema] = {}
        """The schema of each model that has one."""
        self.notes: dict[str, None] = {}
        """What the user should know and need not do anything about, each once."""
        self.binding = lru_cache(maxsize=MAX_MODELS)(self._bind)
        """Return the binding of a model."""

    def step_binding(self, model: str) -> ModelBinding:
        """Return the binding of a step's model, which starts from nothing."""
        manifest = replace(self._settings.manifest, defaults={}, matrix={})
        bare = replace(self._settings, manifest=manifest, params={}, template=None, steps=())
        return ModelBinding(model, self._schema(model), bare)

    def _bind(self, model: str) -> ModelBinding:
        return ModelBinding(model, self._schema(model), self._settings)

    def _schema(self, model: str) -> Schema | None:
        if model in self.origins:
            return self.schemas.get(model)
        schema, self.origins[model] = None, "nowhere"
        for source in self._sources:
            if schema := source.schema_for(model):
                self.schemas[model], self.origins[model] = schema, source.origin_of(model)
                break
        if schema is None:
            self.notes[f"no schema is known for {model}: nothing of its rows was validated"] = None
        else:
            self.notes.update((f"the schema of {model} {note}", None) for note in schema.notes)
        return schema
