"""A manifest: its head, and its rows as jobs, checked completely and read as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from batchgen.core.errors import ManifestError, ManifestNotFound, Problem
from batchgen.core.jobs import Job, Where
from batchgen.core.schema import Schema
from batchgen.manifest.carry import Carrier
from batchgen.manifest.header import BadRow, Record, fatal_row, folded
from batchgen.manifest.identity import Ids
from batchgen.manifest.inline import InlineRows
from batchgen.manifest.models import Models
from batchgen.manifest.recipe import Head, Recipe
from batchgen.manifest.rows import Rows
from batchgen.manifest.selection import Selection
from batchgen.manifest.sources import RowSource
from batchgen.manifest.typos import did_you_mean


class Manifest:
    """One opened manifest. `rows` may be called any number of times."""

    def __init__(
        self,
        *,
        head: Head,
        stem: str,
        base_dir: Path,
        recipe: Recipe,
        models: Models,
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
        self._carrier = Carrier()
        self._ids: Ids | None = None
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
