"""Settings of a manifest: what it says besides its rows, what the command line adds, the reader.

A spreadsheet manifest has only what the command line says.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from batchgen.core.errors import Problem
from batchgen.core.run_settings import PRIVATE, PRIVATE_KEYS, read_run_key
from batchgen.core.schema.values import Given, InvalidValue, Written, plain, shown, text_of
from batchgen.core.spreadsheet import OUR_WORDS
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.job_ids import MAX_REPEAT
from batchgen.manifest.row_options import RowOptions
from batchgen.manifest.sampling import sampled
from batchgen.manifest.steps import StepReader, StepSettings, StepTemplates, step_templates
from batchgen.manifest.templates import Template, is_template

if TYPE_CHECKING:
    from batchgen.manifest.local_files import LocalFiles

T = TypeVar("T")

MANIFEST_KEYS = (
    "model", "defaults", "prompts", "template", "matrix", "repeat", "run", "columns", "sheet",
    "header_row", "schema", "output", "run_dir", "steps", "wildcards", "sample",
)  # fmt: skip
OUTPUT_KEYS = ("dir", "name", "hosts", "sidecar")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """Names of the output files, and the hosts that they may come from."""

    dir: str | None = None
    name: str | None = None
    hosts: tuple[str, ...] = ()
    sidecar: bool | None = None
    """Whether a JSON file is written beside each output; None if the manifest does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSettings:
    """What a manifest says besides its rows. All empty for a spreadsheet."""

    file: str
    """Name of the manifest in messages."""
    model: str | None = None
    defaults: Mapping[str, Given] = field(default_factory=dict)
    template: str | None = None
    matrix: Mapping[str, Sequence[Given]] = field(default_factory=dict)
    repeat: int = 1
    wildcards: bool = False
    """Whether prompts have `__name__` and `{a|b}` in them, to be picked."""
    sample: int | None = None
    """How many combinations of the matrix are picked; None: all."""
    run: Mapping[str, object] = field(default_factory=dict)
    """Parsed run settings by their names in `core.run_settings`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | None = None
    schema: str | None = None
    output: OutputSettings = field(default_factory=OutputSettings)
    steps: tuple[StepSettings, ...] = ()
    """The first is the rows as they are; none if each row is one job."""
    run_dir: str | None = None
    """A template over `date`, relative to the manifest."""
    notes: tuple[str, ...] = ()
    """What the plan says about the file itself."""
    is_directory: bool = False
    """Whether the manifest is a directory of media files."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of each key: `model`, `defaults.size`, `run.rate`."""

    def where(self, key: str) -> str:
        """Return the place of a key for a message: `m.yaml:14: run.rate`."""
        line = self.lines.get(key)
        return f"{self.file}:{line}: {key}" if line else f"{self.file}: {key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSettings:
    """The settings that every row goes through: manifest and command line, templates compiled."""

    manifest: ManifestSettings
    model: str | None
    params: Mapping[str, str]
    columns: Mapping[str, str | Template]
    """Our word or a parameter, as written -> a column's name or a template."""
    template: Template | None
    local_files: LocalFiles
    seed: int = 0
    """Decides what is picked by chance."""
    combinations: frozenset[tuple[str, ...]] | None = None
    """The combinations of the matrix that are picked, as texts; None: all."""
    steps: tuple[StepTemplates, ...] = ()
    """The steps after the rows, each after the one that it follows."""

    @classmethod
    def of(
        cls,
        settings: ManifestSettings,
        options: RowOptions,
        problems: list[Problem],
        local_files: LocalFiles,
    ) -> RowSettings:
        """Put manifest and command line together; add what is wrong with them to `problems`."""

        def template(source: str, where: str) -> Template | None:
            try:
                return Template(source)
            except InvalidValue as unfit:
                problems.append(Problem(where, str(unfit)))
                return None

        columns: dict[str, str | Template] = {}
        for word, source in {**settings.columns, **options.columns}.items():
            name = word.strip().casefold()
            flag = f"--column {word}" if word in options.columns else None
            where = flag or settings.where(f"columns.{word}")
            compiled = template(source, where) if is_template(source) else None
            columns[name if name in OUR_WORDS else word.strip()] = compiled or source
        if isinstance(columns.get("model"), Template):
            what = "the model cannot come from a template; name the column that holds it"
            problems.append(Problem(f"{settings.file}: columns.model", what))
        text = settings.template
        return cls(
            manifest=settings,
            model=options.model or settings.model,
            params=options.params,
            columns=columns,
            template=None if text is None else template(text, settings.where("template")),
            local_files=local_files,
            seed=options.seed or 0,
            combinations=_picked_combinations(settings, options.seed or 0, problems),
            steps=step_templates(settings, problems),
        )

    def place_of_column(self, word: str) -> str:
        """Return where the user said which column holds `word`."""
        key = f"columns.{word}"
        return self.manifest.where(key) if key in self.manifest.lines else f"--column {word}"

    @property
    def variables(self) -> frozenset[str]:
        """The columns that the templates of prompt and steps use."""
        return frozenset[str]().union(*(one.variables for one in self.templates))

    @property
    def templates(self) -> Iterator[Template]:
        """The templates of the prompt and of the inputs of steps."""
        if self.template:
            yield self.template
        for step in self.steps:
            yield from step.templates


def _picked_combinations(
    settings: ManifestSettings, seed: int, problems: list[Problem]
) -> frozenset[tuple[str, ...]] | None:
    if settings.sample is None:
        return None
    try:
        return sampled(settings.matrix, settings.sample, seed)
    except InvalidValue as unfit:
        problems.append(Problem(settings.where("sample"), str(unfit)))
        return None


class SettingsReader:
    """Reader of the mapping at the top of a manifest, which checks every key.

    Problems are collected; the default is used for a value that is wrong.
    """

    def __init__(self, tree: Mapped, file: str, problems: list[Problem]) -> None:
        self._tree = tree
        self._file = file
        self._problems = problems
        self._lines = dict(tree.lines)
        """The lines of the keys, and of the keys of the mappings right below them."""
        for key, below in tree.items():
            if isinstance(below, Mapped):
                self._lines |= {f"{key}.{inner}": line for inner, line in below.lines.items()}

    def settings(self) -> ManifestSettings:
        """Return everything but the rows."""
        self._refuse_unknown("", self._tree, MANIFEST_KEYS)
        return ManifestSettings(
            file=self._file,
            model=self._get("model", _text),
            defaults=self._mapping("defaults"),
            template=self._get("template", _text),
            matrix=dict(self._matrix()),
            repeat=self._get("repeat", _count) or 1,
            wildcards=self._get("wildcards", _truth) or False,
            sample=self._sample(),
            run=self._run(),
            columns=dict(self._columns()),
            sheet=self._get("sheet", _text),
            header_row=self._get("header_row", _count),
            schema=self._get("schema", _text),
            output=self._output(),
            steps=StepReader(self._tree, self._file, self._problems).steps(),
            run_dir=self._get("run_dir", _place),
            notes=self._tree.notes,
            lines=self._lines,
        )

    def prompts(self) -> Listed:
        """Return the entries under `prompts:`; one file or one prompt counts as a list of one."""
        value = self._tree.get("prompts")
        if isinstance(value, Written) and value.value is None:
            value = None
        if isinstance(value, Listed):
            return value
        line = self._lines.get("prompts", self._tree.line)
        entries = Listed(line)
        if value is None:
            what = "is missing; name a file or list the prompts"
            self._problems.append(Problem(f"{self._file}: prompts", what))
            return entries
        if isinstance(value, str):
            name, value = value, Mapped(line)
            value["file"] = name
            value.lines["file"] = line
        entries.append(value)
        entries.lines.append(line)
        return entries

    def _fault(self, key: str, what: str) -> None:
        line = self._lines.get(key, self._tree.line)
        self._problems.append(Problem(f"{self._file}:{line}: {key}", what))

    def _get(self, key: str, read: Callable[[Given], T]) -> T | None:
        """Return the value of a key, or of `key.inner`, as `read` does; None if there is none."""
        outer, _, inner = key.partition(".")
        value = self._tree.get(outer)
        if inner:
            value = value.get(inner) if isinstance(value, Mapped) else None
        if value is None or (isinstance(value, Written) and value.value is None):
            return None
        try:
            return read(value)
        except InvalidValue as unfit:
            self._fault(key, str(unfit))
            return None

    def _mapping(self, key: str) -> Mapped:
        value = self._tree.get(key)
        if isinstance(value, Mapped):
            return value
        if value is not None:
            self._fault(key, f"expected a mapping, got {shown(value)}")
        return Mapped(self._lines.get(key, self._tree.line))

    def _refuse_unknown(self, prefix: str, mapping: Mapped, known: Sequence[str]) -> None:
        for key in mapping:
            if key in PRIVATE_KEYS:
                self._fault(prefix + key, PRIVATE)
            elif key not in known:
                hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
                self._fault(prefix + key, f"unknown key{hint}")

    def _matrix(self) -> Iterator[tuple[str, Sequence[Given]]]:
        for key, value in self._mapping("matrix").items():
            values = value if isinstance(value, list) else [value]
            texts = {text_of(one) for one in values}
            if not values or "" in texts:
                self._fault(f"matrix.{key}", "has an empty value or none")
            elif len(texts) < len(values):
                self._fault(f"matrix.{key}", "has the same value twice")
            else:
                yield key, values

    def _sample(self) -> int | None:
        count = self._get("sample", _count)
        if count is not None and not self._tree.get("matrix"):
            self._fault("sample", "picks from `matrix:`, and there is none")
        return count

    def _run(self) -> Mapping[str, object]:
        settings: dict[str, object] = {}
        for key, value in self._mapping("run").items():
            values = value if isinstance(value, list) else [value]
            texts = [text_of(one) for one in values if plain(one) is not None]
            try:
                settings |= read_run_key(key, texts)
            except ValueError as error:
                self._fault(f"run.{key}", str(error))
        return settings

    def _columns(self) -> Iterator[tuple[str, str]]:
        for key, value in self._mapping("columns").items():
            if isinstance(value, (str, Written)) and text_of(value).strip():
                yield key, text_of(value)
            else:
                self._fault(f"columns.{key}", f"expected the name of a column, got {shown(value)}")

    def _output(self) -> OutputSettings:
        self._refuse_unknown("output.", self._mapping("output"), OUTPUT_KEYS)
        return OutputSettings(
            dir=self._get("output.dir", _place),
            name=self._get("output.name", _text),
            hosts=self._get("output.hosts", _hosts) or (),
            sidecar=self._get("output.sidecar", _truth),
        )


def _text(value: Given) -> str:
    if isinstance(value, (str, Written)):
        return text_of(value)
    raise InvalidValue(f"expected text, got {shown(value)}")


def _place(value: Given) -> str:
    text = _text(value)
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise InvalidValue(f"{shown(text)} has a control character in it; no path can have one")
    return text


def _count(value: Given) -> int:
    number = plain(value)
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MAX_REPEAT:
        return number
    raise InvalidValue(f"expected a whole number from 1 to {MAX_REPEAT:,}, got {shown(value)}")


def _truth(value: Given) -> bool:
    if isinstance(found := plain(value), bool):
        return found
    raise InvalidValue(f"expected true or false, got {shown(found)}")


def _hosts(value: Given) -> tuple[str, ...]:
    hosts = value if isinstance(value, list) else [value]
    if all(isinstance(host, str) and host.strip() for host in hosts):
        return tuple(text_of(host).strip() for host in hosts)
    raise InvalidValue("expected a list of host names")
