"""The head of a YAML or JSON manifest: every key checked, with the line of what is wrong.

The settings that every row goes through, whatever kind of file they came from.

A spreadsheet manifest has all of them empty; a YAML manifest fills them in `head`.

What shapes the jobs besides the manifest itself, and where schemas come from.

`RowOptions` is what the command line says; it is plain, and a later run can use it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from batchgen.core.errors import Problem
from batchgen.core.run_settings import PRIVATE, PRIVATE_KEYS, read_run_key
from batchgen.core.schema import Given, Schema, Written, plain, shown, text_of
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.templates import Template

OUR_WORDS = ("prompt", "id", "model", "repeat", "enabled")
MAX_REPEAT = 10_000
MAX_COMBINATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """How the manifest wants its files to be called and where from they may come."""

    dir: str | None = None
    name: str | None = None
    hosts: tuple[str, ...] = ()
    sidecar: bool | None = None
    """Whether a JSON is written beside each file; None where the manifest does not say."""


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
    run: Mapping[str, object] = field(default_factory=dict)
    """Parsed run settings by their names in `core.run_settings`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | None = None
    schema: str | None = None
    output: OutputSettings = field(default_factory=OutputSettings)
    run_dir: str | None = None
    """A template over `date`, relative to the manifest."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where a key stands: `model`, `defaults.size`, `run.rate`."""

    def where(self, key: str) -> str:
        """The place of a key for a message: `m.yaml:14: run.rate`."""
        line = self.lines.get(key)
        return f"{self.file}:{line}: {key}" if line else f"{self.file}: {key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSettings:
    """Head and command line together, templates compiled."""

    head: ManifestSettings
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


T = TypeVar("T")

HEAD_KEYS = (
    "model", "defaults", "prompts", "template", "matrix", "repeat", "run", "columns", "sheet",
    "header_row", "schema", "output", "run_dir",
)  # fmt: skip
OUTPUT_KEYS = ("dir", "name", "hosts", "sidecar")


class SettingsReader:
    """Reads one mapping into a `ManifestSettings`, and keeps the problems that it met."""

    def __init__(self, tree: Mapped, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._tree = tree

    def read(self) -> ManifestSettings:
        """The head; where a value is wrong its default stands in, and a problem is kept."""
        tree = self._tree
        self._refuse_unknown(tree, HEAD_KEYS, "")
        return ManifestSettings(
            file=self.file,
            model=self._get("model", self._text),
            defaults=self._mapping("defaults"),
            template=self._get("template", self._text),
            matrix=self._matrix(),
            repeat=self._get("repeat", self._count) or 1,
            run=self._run(),
            columns=dict(self._columns()),
            sheet=self._get("sheet", self._text),
            header_row=self._get("header_row", self._count),
            schema=self._get("schema", self._text),
            output=self._output(),
            run_dir=self._get("run_dir", self._text),
            lines=dict(_lines(tree)),
        )

    def _fault(self, line: int, key: str, what: str) -> None:
        self.problems.append(Problem(f"{self.file}:{line}: {key}", what))

    def _get(self, key: str, read: Callable[[str, Given], T | None]) -> T | None:
        value = self._tree.get(key)
        if value is None or (isinstance(value, Written) and value.value is None):
            return None
        return read(key, value)

    def _text(self, key: str, value: Given) -> str | None:
        if isinstance(value, (str, Written)):
            return text_of(value)
        self._fault(self._line(key), key, f"expected text, got {shown(value)}")
        return None

    def _count(self, key: str, value: Given) -> int | None:
        number = plain(value)
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MAX_REPEAT:
            return number
        what = f"expected a whole number from 1 to {MAX_REPEAT:,}, got {shown(value)}"
        self._fault(self._line(key), key, what)
        return None

    def _line(self, key: str) -> int:
        return self._tree.lines.get(key.partition(".")[0], self._tree.line)

    def _mapping(self, key: str) -> Mapped:
        value = self._tree.get(key)
        if isinstance(value, Mapped):
            return value
        if value is not None:
            self._fault(self._line(key), key, f"expected a mapping, got {shown(value)}")
        return Mapped(self._tree.line)

    def _refuse_unknown(self, mapping: Mapped, known: Sequence[str], prefix: str) -> None:
        for key, line in mapping.lines.items():
            if key not in known and key not in PRIVATE_KEYS:
                hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
                self._fault(line, prefix + key, f"unknown key{hint}")
            elif key in PRIVATE_KEYS:
                self._fault(line, prefix + key, PRIVATE)

    def _matrix(self) -> Mapping[str, Sequence[Given]]:
        found: dict[str, Sequence[Given]] = {}
        for key, value in (mapping := self._mapping("matrix")).items():
            values = value if isinstance(value, list) else [value]
            if not values or any(text_of(one) == "" for one in values):
                self._fault(mapping.lines[key], f"matrix.{key}", "has an empty value or none")
            elif len({text_of(one) for one in values}) < len(values):
                self._fault(mapping.lines[key], f"matrix.{key}", "has the same value twice")
            else:
                found[key] = values
        return found

    def _run(self) -> Mapping[str, object]:
        settings: dict[str, object] = {}
        for key, value in (mapping := self._mapping("run")).items():
            values = value if isinstance(value, list) else [value]
            texts = [text_of(one) for one in values if plain(one) is not None]
            try:
                settings |= read_run_key(key, texts)
            except ValueError as error:
                self._fault(mapping.lines[key], f"run.{key}", str(error))
        return settings

    def _columns(self) -> Iterator[tuple[str, str]]:
        for key, value in (mapping := self._mapping("columns")).items():
            if isinstance(value, (str, Written)) and text_of(value).strip():
                yield key, text_of(value)
            else:
                what = f"expected the name of a column, got {shown(value)}"
                self._fault(mapping.lines[key], f"columns.{key}", what)

    def _output(self) -> OutputSettings:
        mapping = self._mapping("output")
        self._refuse_unknown(mapping, OUTPUT_KEYS, "output.")
        texts: dict[str, str | None] = {"dir": None, "name": None}
        for key in texts:
            value = mapping.get(key)
            if isinstance(value, (str, Written)):
                texts[key] = text_of(value)
            elif value is not None:
                self._fault(
                    mapping.lines[key], f"output.{key}", f"expected text, got {shown(value)}"
                )
        return OutputSettings(
            dir=texts["dir"],
            name=texts["name"],
            hosts=self._hosts(mapping),
            sidecar=self._sidecar(mapping),
        )

    def _sidecar(self, output: Mapped) -> bool | None:
        value = plain(output.get("sidecar"))
        if value is None or isinstance(value, bool):
            return value
        what = f"expected true or false, got {shown(value)}"
        self._fault(output.lines["sidecar"], "output.sidecar", what)
        return None

    def _hosts(self, output: Mapped) -> tuple[str, ...]:
        value = output.get("hosts")
        hosts = value if isinstance(value, list) else [] if value is None else [value]
        if all(isinstance(host, str) and host.strip() for host in hosts):
            return tuple(text_of(host).strip() for host in hosts)
        self._fault(output.lines["hosts"], "output.hosts", "expected a list of host names")
        return ()


def _lines(tree: Mapped) -> Iterator[tuple[str, int]]:
    """Lines of the keys of the head and of the mappings right below it."""
    for key, line in tree.lines.items():
        yield key, line
        below = tree[key]
        if isinstance(below, Mapped):
            yield from ((f"{key}.{inner}", at) for inner, at in below.lines.items())


def prompts_of(tree: Mapped, file: str) -> tuple[Listed | None, list[Problem]]:
    """The entries under `prompts:`; one file or one prompt counts as a list of one."""
    value = tree.get("prompts")
    line = tree.lines.get("prompts", tree.line)
    if isinstance(value, Listed):
        return value, []
    if value is None:
        return None, [Problem(f"{file}: prompts", "is missing; name a file or list the prompts")]
    single = Listed(line)
    single.append(Mapped(line) if isinstance(value, str) else value)
    single.lines.append(line)
    if isinstance(value, str) and isinstance(single[0], Mapped):
        single[0]["file"] = value
        single[0].lines["file"] = line
    return single, []


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """What the command line says about how rows become jobs."""

    model: str | None = None
    """For rows that name none; beats the manifest's own `model`."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Values of parameters as text; they beat `defaults` and are beaten by a row."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our word or a parameter -> the column that holds it, or a template over columns."""
    format: str | None = None
    """`csv`, `tsv`, `jsonl`, `ndjson`, `json`, `xlsx`, `txt`, `yaml`; None: by the file's name."""
    sheet: str | None = None
    select: str | None = None
    """`COLUMN OP VALUE` joined by `and`; see `Selection`."""
    allow_outside: bool = False
    """Whether `file:` and `schema:` may leave the manifest's directory."""
    no_validate: bool = False
    """Use a schema for names and types only, and check no value against it."""


class SchemaSource(Protocol):
    """Where the schemas of models come from; the manifest's own `schema:` is asked first."""

    def schema_for(self, model_id: str) -> Schema | None:
        """The input schema of a model, None where none is known. Called once a model."""

    def origin_of(self, model_id: str) -> str:
        """Where that schema came from, for people: `the package`, `the catalogue, 2 h old`."""
