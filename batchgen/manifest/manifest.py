"""A manifest: what it says, its rows as jobs, and how it is opened.

Its settings are checked when it is opened, its rows whenever they are read.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import BinaryIO, overload

from batchgen.core.errors import (
    ManifestError,
    ManifestNotFound,
    Problem,
    UsageError,
)
from batchgen.core.jobs import Job, Where
from batchgen.core.model_entry import SchemaOrigin
from batchgen.core.problem_list import ProblemList
from batchgen.core.schema.inputs import Schema
from batchgen.core.shards import Shard
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.file_access import confined, is_pipe, spooled
from batchgen.manifest.formats import format_of
from batchgen.manifest.formats.inline_rows import FileEntry, entries_of
from batchgen.manifest.formats.media_directory import MediaDirectory, is_media_directory
from batchgen.manifest.formats.row_source import RowSource, open_rows, read_settings_tree
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.header import (
    BadRow,
    HeaderKind,
    InputColumns,
    LeftOut,
    ReadOptions,
    Record,
    folded,
)
from batchgen.manifest.job_ids import column_that_makes_unique
from batchgen.manifest.local_files import LocalFiles
from batchgen.manifest.model_binding import ModelBindings, OwnSchema, SchemaSource
from batchgen.manifest.row_options import RowOptions
from batchgen.manifest.rows import Rows
from batchgen.manifest.select_expression import Selection, parse_selection
from batchgen.manifest.settings import ManifestSettings, RowSettings, SettingsReader
from batchgen.manifest.templates import variable


class Manifest:
    """One opened manifest. `rows` may be called any number of times."""

    def __init__(
        self,
        *,
        stem: str,
        base_dir: Path,
        settings: RowSettings,
        models: ModelBindings,
        sources: Sequence[RowSource],
        selection: Selection | None,
        shard: Shard | None,
    ) -> None:
        self.settings = settings.manifest
        self.stem = stem
        """Name of the manifest without its ending; `stdin` for standard input."""
        self.base_dir = base_dir
        """The directory that relative paths in the manifest are relative to."""
        self.upload_to = settings.local_files.upload_to
        """The bucket to which local files are uploaded; None: none is named."""
        self.selection = selection
        self.shard = shard
        """The part of the rows that a run is about; rows of all parts are read. None: all."""
        self._settings = settings
        self._models = models
        self._sources = sources
        self._rows: Rows | None = None
        self._columns = InputColumns()
        for source in sources:
            for header in source.headers:
                self._columns.meet(header)

    @property
    def columns(self) -> tuple[str, ...]:
        """The input columns in the order of the file.

        Complete from the start for spreadsheets; for JSON lines after one pass over the rows.
        """
        return tuple(self._columns.names)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know; complete after one pass over the rows."""
        rows = self._rows
        if rows is None:
            return self.notes_on_files
        ids = rows.ids
        of_rows = (ids.note_on_equal_rows(), ids.note_on_seed(), rows.note_on_carried())
        return (*self.notes_on_files, *filter(None, of_rows))

    @property
    def notes_on_files(self) -> tuple[str, ...]:
        """Those that matter also if the rows are wrong, because they may be the reason."""
        secrets = (f"column {name!r} is neither sent nor shown" for name in self._columns.secrets)
        files = (note for source in self._sources for note in source.notes)
        notes = (*self.settings.notes, *files, *secrets, *self._models.notes)
        return tuple(dict.fromkeys(notes))

    @property
    def origins(self) -> Mapping[str, str]:
        """Model -> where its schema came from; complete after one pass over the rows."""
        return dict(self._models.origins)

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """Model -> the schema that was used; complete after one pass over the rows."""
        return dict(self._models.schemas)

    @overload
    def rows(self) -> Iterator[Job | BadRow]: ...

    @overload
    def rows(self, *, left_out: bool) -> Iterator[Job | BadRow | LeftOut]: ...

    def rows(self, *, left_out: bool = False) -> Iterator[Job | BadRow | LeftOut]:
        """Yield every job and every bad row in manifest order; each call reads the files again.

        With `left_out`, rows that are not selected or are switched off too. A `BadRow` with `fatal`
        concerns the whole file; leaving out rows does not repair it.
        """
        selection = self.selection.renamed(self._settings.columns) if self.selection else None
        rows = Rows(
            settings=self._settings,
            models=self._models,
            columns=self._columns,
            selection=selection,
            headers=[header for source in self._sources for header in source.headers],
        )
        self._rows = rows
        for row in rows.read(self._records()):
            if left_out or not isinstance(row, LeftOut):
                yield row
        if selection is not None:
            yield from self._unknown_columns(selection)

    def hint_at_unique_ids(self) -> str:
        """Return what can be done about repeated ids, after another pass over the rows."""
        id_column = self._settings.columns.get("id", "id")
        if not isinstance(id_column, str):
            return ""
        prompt = self._settings.columns.get("prompt", "prompt")
        texts = {folded(prompt)} if isinstance(prompt, str) else set()
        records = (record for record in self._records() if isinstance(record, Record))
        other = column_that_makes_unique(records, folded(id_column), without=texts)
        if other is None:
            return ""
        template = f"{{{{ {variable(other)} }}}}-{{{{ {variable(id_column)} }}}}"
        return f"; {other!r} and {id_column!r} together are unique: --column 'id={template}'"

    def _records(self) -> Iterator[Record | BadRow]:
        file = self.settings.file
        try:
            for source in self._sources:
                yield from source.records()
        except OSError as error:
            what = f"cannot be read any further: {error.strerror or error}"
            raise ManifestNotFound(f"{error.filename or file}: {what}") from None
        except UnicodeDecodeError:
            what = "has changed while it was being read; start again"
            raise ManifestError([Problem(file, what)]) from None

    def _unknown_columns(self, selection: Selection) -> Iterator[BadRow]:
        """Report columns that no row has: such a condition would silently select nothing."""
        known = {folded(name) for name in self.columns}
        for condition in selection.conditions:
            if known and condition.column not in known:
                what = f"no column {condition.column!r}"
                what += did_you_mean(condition.column, self.columns)
                problem = Problem(f"--select {selection.text}", what)
                where = Where(file=self.settings.file)
                yield BadRow(where=where, problems=(problem,), fatal=True)
        yield from self._repeated_columns(selection)

    def _repeated_columns(self, selection: Selection) -> Iterator[BadRow]:
        """Report conditions on a name that several columns have."""
        asked = {condition.column for condition in selection.conditions}
        for header in (header for source in self._sources for header in source.headers):
            for name in (header.names[index] for index in header.repeated):
                if folded(name) in asked:
                    what = f"several columns of {header.file} are called {name!r}; rename one"
                    problem = Problem(f"--select {selection.text}", what)
                    where = Where(file=self.settings.file)
                    yield BadRow(where=where, problems=(problem,), fatal=True)


def open_manifest(
    path: str | Path,
    options: RowOptions,
    schemas: SchemaSource,
    *,
    stdin: BinaryIO | None = None,
    pinned: SchemaSource | None = None,
) -> Manifest:
    """Open the manifest at `path`, or the one that comes through `stdin` if that is `-`.

    A model's schema is the one in `pinned` (by which an earlier run decided), or else the
    manifest's own `schema:`, or else the one in `schemas`.

    Raises `ManifestNotFound` if the manifest, or a file that it names, cannot be read;
    `ManifestError` with every problem, those of the rows too, if its settings are wrong;
    `UsageError` for an unusable `--select` and for standard input without a format.
    """
    file, path = str(path), Path(path)
    if file == "-":
        if options.format is None:
            raise UsageError("a manifest on standard input needs --format, as in --format csv")
        if stdin is None:
            raise UsageError("there is no standard input to read a manifest from")
        opening = _Opening(path, "stdin", Path.cwd(), "stdin", options, schemas, pinned)
        return _from_stream(stdin, opening)
    if is_media_directory(path):
        opening = _Opening(path, file, path, path.resolve().name, options, schemas, pinned)
        return opening.manifest()
    opening = _Opening(path, file, path.parent, path.stem, options, schemas, pinned)
    if is_pipe(path, file):
        with path.open("rb") as stream:
            return _from_stream(stream, opening)
    return opening.manifest()


def open_fetched(
    path: Path,
    shown: str,
    options: RowOptions,
    schemas: SchemaSource,
    pinned: SchemaSource | None = None,
) -> Manifest:
    """Open a manifest from an address, which was fetched to `path`; `options` name its format.

    Raises as `open_manifest`, and `ManifestError` if it names a file of this machine.
    """
    stem = Path(shown).stem
    opening = _Opening(path, shown, path.parent, stem, options, schemas, pinned, is_fetched=True)
    return opening.manifest()


def _from_stream(stream: BinaryIO, opening: _Opening) -> Manifest:
    """Open a manifest that can be read only once: its copy lives as long as the manifest does."""
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
    file: str
    base_dir: Path
    stem: str
    options: RowOptions
    schemas: SchemaSource
    pinned: SchemaSource | None
    problems: list[Problem] = field(default_factory=list)
    is_fetched: bool = False
    """True for a manifest from an address, which may name no file of this machine."""

    def manifest(self) -> Manifest:
        """Return the manifest, or raise for what is wrong with its settings."""
        options = self.options
        is_directory = is_media_directory(self.path)
        tree = None if is_directory else self._tree()
        if is_directory:
            settings = ManifestSettings(file=self.file, is_directory=True)
            sources: list[RowSource] = [MediaDirectory(self.path, self.file)]
        elif tree is None:
            format_ = format_of(self.path, options.format, self.file)
            settings = ManifestSettings(file=self.file)
            sources = [open_rows(self.path, self.file, format_, self._read_options())]
        else:
            reader = SettingsReader(tree, self.file, self.problems)
            settings = reader.settings()
            sources = list(self._sources(reader.prompts(), settings))
        self._refuse_outside_output(settings)
        local_files = LocalFiles(
            base_dir=self.base_dir, allow_outside=options.allow_outside,
            is_fetched=self.is_fetched, upload_to=options.assets,
        )  # fmt: skip
        row_settings = RowSettings.of(settings, options, self.problems, local_files)
        schemas = {
            SchemaOrigin.RUN_DIRECTORY: self.pinned,
            SchemaOrigin.MANIFEST: self._own_schema(settings, row_settings.model),
            SchemaOrigin.CATALOGUE: self.schemas,  # with the package behind it
        }
        select = settings.run.get("select") if options.select is None else options.select
        manifest = Manifest(
            stem=self.stem,
            base_dir=self.base_dir,
            settings=row_settings,
            models=ModelBindings(row_settings, schemas),
            sources=sources,
            selection=parse_selection(str(select)) if select else None,
            shard=options.shard,
        )
        self._refuse_unknown_drops(sources)
        if self.problems:
            raise _all_problems(self.problems, manifest, has_rows=bool(sources))
        return manifest

    def _tree(self) -> Mapped | None:
        """Return the mapping at the top of the file; None if it has only rows."""
        format_ = format_of(self.path, self.options.format, self.file)
        return read_settings_tree(self.path, self.file, format_, self.options.encoding)

    def _sources(self, prompts: Listed, settings: ManifestSettings) -> Iterator[RowSource]:
        for entry in entries_of(prompts, self.file):
            try:
                yield self._file(entry, settings) if isinstance(entry, FileEntry) else entry
            except ManifestError as error:
                self.problems.extend(error.problems)

    def _file(self, entry: FileEntry, settings: ManifestSettings) -> RowSource:
        where = f"{self.file}:{entry.line}: file"
        path = self._confined(entry.name, where)
        shown = str(Path(self.file).parent / entry.name)
        format_ = format_of(path, entry.format, shown)
        if format_ == "yaml":
            what = f"{entry.name!r} is a manifest of its own; name a spreadsheet or a text file"
            raise ManifestError([Problem(where, what)])
        options = self._read_options(
            sheet=entry.sheet or self.options.sheet or settings.sheet,
            header_row=entry.header_row or self.options.header_row or settings.header_row,
        )
        return open_rows(path, shown, format_, options)

    def _read_options(
        self, *, sheet: str | None = None, header_row: int | None = None
    ) -> ReadOptions:
        options = self.options
        return ReadOptions(
            sheet=sheet or options.sheet,
            header_row=header_row or options.header_row,
            encoding=options.encoding,
            drop=frozenset(map(folded, options.drop)),
            include_hidden=options.include_hidden,
        )

    def _refuse_unknown_drops(self, sources: Sequence[RowSource]) -> None:
        """Refuse `--drop` of a column that no spreadsheet has: another would still be sent."""
        headers = [header for source in sources for header in source.headers]
        names = [name for one in headers if one.kind is HeaderKind.SHEET for name in one.names]
        known = set(map(folded, names))
        for column in self.options.drop if names else ():
            if folded(column) not in known:
                hint = did_you_mean(column, names)
                self.problems.append(Problem(f"--drop {column}", f"no column {column!r}{hint}"))

    def _confined(self, name: str, where: str) -> Path:
        if self.is_fetched:
            what = f"{name!r}: a manifest from an address cannot name files on this machine"
            raise ManifestError([Problem(where, what)])
        allowed = self.options.allow_outside
        return confined(name, self.base_dir, allow_outside=allowed, where=where)

    def _refuse_outside_output(self, settings: ManifestSettings) -> None:
        place = settings.output.dir or ""
        if not self.is_fetched or "://" in place:
            return
        path = PurePath(place)
        if path.is_absolute() or ".." in path.parts:
            what = f"{place!r}: a manifest from an address cannot name files on this machine"
            what += "; name a directory below the run directory"
            self.problems.append(Problem(settings.where("output.dir"), what))

    def _own_schema(self, settings: ManifestSettings, model: str | None) -> OwnSchema | None:
        if settings.schema is None:
            return None
        where = settings.where("schema")
        try:
            path = self._confined(settings.schema, where)
            return OwnSchema(path, settings.schema, where, model)
        except ManifestError as error:
            self.problems.extend(error.problems)
            return None


def _all_problems(
    problems: Sequence[Problem], manifest: Manifest, *, has_rows: bool
) -> ManifestError:
    """Return the problems of the settings with those of the rows, as far as these can be read."""
    found = ProblemList()
    found.add(problems)
    for row in manifest.rows() if has_rows else ():
        if isinstance(row, BadRow):
            found.add_row(row.where.file, row.problems)
        else:
            found.add_good_row(row.where.file)
    return ManifestError(*found.shown())
