"""A manifest: its head, and its rows as jobs, checked completely and read as often as needed.

Opening a manifest: which file, which format, and the head checked before the first row.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from batchgen.core.errors import ManifestError, ManifestNotFound, Problem, UsageError
from batchgen.core.jobs import Job, Where
from batchgen.core.schema import InvalidValue, Schema
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.carried_columns import CarriedColumns
from batchgen.manifest.formats.head_tree import read_tree
from batchgen.manifest.formats.inline_rows import FileEntry, InlineRows, stretches
from batchgen.manifest.formats.sources import Reading, RowSource, format_of, open_source
from batchgen.manifest.formats.yaml_tree import Mapped
from batchgen.manifest.header import BadRow, Record, fatal_row, folded
from batchgen.manifest.job_ids import JobIds
from batchgen.manifest.model_schemas import ModelSchemas, OwnSchema, read_own_schema
from batchgen.manifest.rows import Rows
from batchgen.manifest.select_expression import Selection, parse_selection
from batchgen.manifest.settings import (
    OUR_WORDS,
    ManifestSettings,
    RowOptions,
    RowSettings,
    SchemaSource,
    SettingsReader,
    prompts_of,
)
from batchgen.manifest.source_files import confined, is_pipe, require_file, spooled
from batchgen.manifest.templates import Template, is_template


class Manifest:
    """One opened manifest. `rows` may be called any number of times."""

    def __init__(
        self,
        *,
        head: ManifestSettings,
        stem: str,
        base_dir: Path,
        recipe: RowSettings,
        models: ModelSchemas,
        sources: Sequence[RowSource | InlineRows],
        selection: Selection | None,
    ) -> None:
        self.head = head
        self.stem = stem
        """Name of the manifest without its ending; `stdin` for standard input."""
        self.base_dir = base_dir
        """What relative paths in the manifest are relative to."""
        self.selection = selection
        self._recipe = recipe
        self._models = models
        self._sources = sources
        self._carrier = CarriedColumns()
        self._ids: JobIds | None = None
        self._meet_headers()

    def _meet_headers(self) -> None:
        for source in self._sources:
            if isinstance(source, InlineRows):
                for header in source.headers():
                    self._carrier.meet(header)
            elif source.header is not None:
                self._carrier.meet(source.header)

    @property
    def has_sources(self) -> bool:
        """Whether it names any rows at all."""
        return bool(self._sources)

    @property
    def columns(self) -> tuple[str, ...]:
        """The input columns in the order of the file.

        Complete from the start for spreadsheets; for JSON lines after one pass over the rows.
        """
        return self._carrier.names

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know; complete after one pass over the rows."""
        secrets = (f"column {name!r} is neither sent nor shown" for name in self._carrier.dropped)
        return (*secrets, *self._equal_note(), *self._models.notes)

    def _equal_note(self) -> Iterator[str]:
        ids = self._ids
        if ids is not None and ids.first_equal is not None:
            row, earlier = ids.first_equal
            many = "1 row is" if ids.equal_rows == 1 else f"{ids.equal_rows:,} rows are"
            yield f"{many} equal to an earlier one (first: {row} to {earlier}); each is made"

    @property
    def origins(self) -> Mapping[str, str]:
        """Model -> where its schema came from; complete after one pass over the rows."""
        return dict(self._models.origins)

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """Model -> the schema that was used; complete after one pass over the rows."""
        return dict(self._models.schemas)

    def rows(self) -> Iterator[Job | BadRow]:
        """Every job and every bad row in manifest order; reads the files anew at each call.

        A `BadRow` with `fatal` concerns the whole file; leaving out rows does not mend it.
        """
        selection = self.selection.renamed(self._recipe.columns) if self.selection else None
        rows = Rows(
            recipe=self._recipe,
            models=self._models,
            carrier=self._carrier,
            selection=selection,
        )
        self._ids = rows.ids
        yield from rows.read(self._records())
        if selection is not None:
            yield from self._unknown_columns(selection)

    def _records(self) -> Iterator[Record | BadRow]:
        try:
            for source in self._sources:
                yield from source.records()
        except OSError as error:
            what = f"cannot be read any further: {error.strerror or error}"
            raise ManifestNotFound(f"{error.filename or self.head.file}: {what}") from None
        except UnicodeDecodeError:
            what = "has changed while it was being read; start again"
            raise ManifestError([Problem(self.head.file, what)]) from None

    def _unknown_columns(self, selection: Selection) -> Iterator[BadRow]:
        """A column that no row has is a typo, and would silently select nothing."""
        known = {folded(name) for name in self.columns}
        for condition in selection.conditions:
            if known and condition.column not in known:
                hint = did_you_mean(condition.column, self.columns)
                what = f"no column {condition.column!r}{hint}"
                problem = Problem(f"--select {selection.text}", what)
                yield fatal_row(problem, where=Where(file=self.head.file))


SHOWN_PROBLEMS = 50
"""Problems that are said in full; the rest are counted."""


def open_manifest(
    path: str | Path,
    shape: RowOptions,
    schemas: SchemaSource,
    *,
    stdin: BinaryIO | None = None,
    kept: SchemaSource | None = None,
) -> Manifest:
    """Open the manifest at `path`, or the one that comes through `stdin` where that is `-`.

    Schemas are asked for at `kept` (what an earlier run decided by), then in the manifest's own
    `schema:`, then at `schemas`.

    Raises `ManifestNotFound` where it, or a file that it names, cannot be read; `ManifestError`
    with every problem, those of the rows too, where its head is wrong; `UsageError` for an
    unusable `--select` and for standard input without a format.
    """
    shown, path = str(path), Path(path)
    if shown == "-":
        stream = _required(stdin, shape)
        return _from_stream(
            stream, _Opening(path, "stdin", Path.cwd(), "stdin", shape, schemas, kept)
        )
    opening = _Opening(path, shown, path.parent, path.stem, shape, schemas, kept)
    if is_pipe(path, shown):
        with path.open("rb") as stream:
            return _from_stream(stream, opening)
    require_file(path, shown)
    return opening.manifest()


def _required(stdin: BinaryIO | None, shape: RowOptions) -> BinaryIO:
    if shape.format is None:
        raise UsageError("a manifest on standard input needs --format, as in --format csv")
    if stdin is None:
        raise UsageError("there is no standard input to read a manifest from")
    return stdin


def _from_stream(stream: BinaryIO, opening: _Opening) -> Manifest:
    """A manifest that can be read only once: its copy lives as long as the manifest does."""
    path = spooled(stream)
    try:
        manifest = replace(opening, path=path).manifest()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    weakref.finalize(manifest, path.unlink, missing_ok=True)
    return manifest


@dataclass
class _Opening:
    """One manifest on its way from a path to its rows."""

    path: Path
    shown: str
    base_dir: Path
    stem: str
    shape: RowOptions
    schemas: SchemaSource
    kept: SchemaSource | None
    problems: list[Problem] = field(default_factory=list)

    def manifest(self) -> Manifest:
        kind = format_of(self.path, self.shape.format, self.shown)
        tree = read_tree(self.path, self.shown, kind)
        if tree is None:
            head = ManifestSettings(file=self.shown)
            sources: list[RowSource | InlineRows] = [self._rows_alone(kind)]
        else:
            reader = SettingsReader(tree, self.shown)
            head = reader.read()
            self.problems.extend(reader.problems)
            sources = list(self._sources(tree, head))
        manifest = self._put_together(head, sources)
        if self.problems:
            raise _all_problems(self.problems, manifest)
        return manifest

    def _put_together(
        self, head: ManifestSettings, sources: Sequence[RowSource | InlineRows]
    ) -> Manifest:
        recipe = self._recipe(head)
        return Manifest(
            head=head,
            stem=self.stem,
            base_dir=self.base_dir,
            recipe=recipe,
            models=ModelSchemas(recipe, self.schemas, own=self._own_schema(head), kept=self.kept),
            sources=sources,
            selection=self._selection(head),
        )

    def _selection(self, head: ManifestSettings) -> Selection | None:
        text = head.run.get("select") if self.shape.select is None else self.shape.select
        return parse_selection(str(text)) if text else None

    def _rows_alone(self, kind: str) -> RowSource:
        reading = Reading(format=kind, sheet=self.shape.sheet)
        return open_source(self.path, self.shown, reading)

    def _sources(self, tree: Mapped, head: ManifestSettings) -> Iterator[RowSource | InlineRows]:
        entries, faults = prompts_of(tree, self.shown)
        self.problems.extend(faults)
        for part in stretches(entries, self.shown) if entries else ():
            try:
                yield self._file(part, head) if isinstance(part, FileEntry) else part
            except ManifestError as error:
                self.problems.extend(error.problems)

    def _file(self, entry: FileEntry, head: ManifestSettings) -> RowSource:
        where = f"{self.shown}:{entry.line}: file"
        path = confined(
            entry.name, self.base_dir, allow_outside=self.shape.allow_outside, where=where
        )
        shown = str(Path(self.shown).parent / entry.name)
        kind = format_of(path, entry.format, shown)
        if kind == "yaml":
            what = f"{entry.name!r} is a manifest of its own; name a spreadsheet or a text file"
            raise ManifestError([Problem(where, what)])
        reading = Reading(
            format=kind,
            sheet=entry.sheet or self.shape.sheet or head.sheet,
            header_row=entry.header_row or head.header_row,
        )
        return open_source(path, shown, reading)

    def _recipe(self, head: ManifestSettings) -> RowSettings:
        flags = self.shape.columns
        columns = {
            _word(word): self._column(source, f"--column {word}")
            if word in flags
            else self._column(source, head.where(f"columns.{word}"))
            for word, source in {**head.columns, **flags}.items()
        }
        if isinstance(columns.get("model"), Template):
            what = "the model cannot come from a template; name the column that holds it"
            self.problems.append(Problem(f"{head.file}: columns.model", what))
        template = None
        if head.template is not None:
            template = self._template(head.template, head.where("template"))
        return RowSettings(
            head=head,
            model=self.shape.model or head.model,
            params=self.shape.params,
            columns=columns,
            template=template,
            validate=not self.shape.no_validate,
        )

    def _column(self, source: str, where: str) -> str | Template:
        """A column's name, or a template over columns."""
        return (self._template(source, where) or source) if is_template(source) else source

    def _template(self, source: str, where: str) -> Template | None:
        try:
            return Template(source)
        except InvalidValue as unfit:
            self.problems.append(Problem(where, str(unfit)))
            return None

    def _own_schema(self, head: ManifestSettings) -> OwnSchema | None:
        if head.schema is None:
            return None
        try:
            return read_own_schema(
                head.schema,
                self.base_dir,
                allow_outside=self.shape.allow_outside,
                where=head.where("schema"),
                model=self.shape.model or head.model,
            )
        except ManifestError as error:
            self.problems.extend(error.problems)
            return None


def _word(word: str) -> str:
    """Our words in their own spelling; the name of a parameter as it is written."""
    folded = word.strip().casefold()
    return folded if folded in OUR_WORDS else word.strip()


def _all_problems(problems: Sequence[Problem], manifest: Manifest) -> ManifestError:
    """The problems of the head together with those of the rows, as far as these can be read."""
    found = list(problems)
    total = len(found)
    for row in manifest.rows() if manifest.has_sources else ():
        if isinstance(row, BadRow):
            total += len(row.problems)
            found.extend(row.problems[: max(0, SHOWN_PROBLEMS - len(found))])
    return ManifestError(found[:SHOWN_PROBLEMS], total)
