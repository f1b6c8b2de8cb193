"""Records to jobs: the one path that every row of every format takes.

`defaults` < `--param` < row < matrix, then the template, then the schema, then the id. What is
wrong is yielded as a `BadRow` in its place; nothing is raised, and nothing of a row is kept but
its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batchgen.core.errors import Problem
from batchgen.core.jobs import Job, Where
from batchgen.core.models import is_model_id
from batchgen.core.schema import shown, text_of
from batchgen.manifest.carry import Carrier
from batchgen.manifest.columns import LayoutMaker
from batchgen.manifest.draft import Draft
from batchgen.manifest.expansion import expand
from batchgen.manifest.header import BadRow, Header, Record, fatal_row, is_blank
from batchgen.manifest.identity import Ids
from batchgen.manifest.layout import Layout
from batchgen.manifest.models import Models
from batchgen.manifest.recipe import Recipe
from batchgen.manifest.selection import Selection
from batchgen.manifest.target import Target

MAX_LAYOUTS = 2000
"""Headers times models that are kept; a file where every row has other keys works all the same."""


class Rows:
    """One pass over the records of a manifest."""

    def __init__(
        self, *, recipe: Recipe, models: Models, carrier: Carrier, selection: Selection | None
    ) -> None:
        self._recipe = recipe
        self._models = models
        self._carrier = carrier
        self._selection = selection
        self.ids = Ids()
        self._layouts: dict[tuple[Header, str], tuple[Target, Layout]] = {}
        self._met: set[tuple[Target, Layout]] = set()
        self._said: set[Problem] = set()
        self._count = 0
        self._switched_off = 0

    def read(self, records: Iterable[Record | BadRow]) -> Iterator[Job | BadRow]:
        """Every job and every bad row in the order of the file; what concerns all of it, last."""
        for record in records:
            if isinstance(record, BadRow):
                self._count += 1
                yield record
                continue
            known = self._known(record)
            if isinstance(known, Problem):
                self._count += 1
                yield self._bad(record, [known])
                continue
            if known not in self._met:
                yield from self._first_meeting(known, record.header)
            yield from self._row(record, *known)
        if not self._count:
            yield self._nothing()

    def _nothing(self) -> BadRow:
        file = self._recipe.head.file
        what = "has no rows"
        if self._switched_off:
            what = f"all {self._switched_off:,} rows are switched off by their `enabled` column"
        return fatal_row(Problem(file, what), where=Where(file=file))

    def _known(self, record: Record) -> tuple[Target, Layout] | Problem:
        """What the row's model and header mean; a problem where it names no model."""
        index = self._models.column_of(record.header)
        given = None if index is None else record.cells[index]
        model = (self._recipe.model or "") if is_blank(given) else text_of(given).strip()
        known = self._layouts.get((record.header, model))
        if known is not None:
            return known
        if not is_model_id(model):
            return self._model_problem(record, index, model)
        return self._layout(record.header, model)

    def _row(self, record: Record, target: Target, layout: Layout) -> Sequence[Job | BadRow]:
        draft = Draft(record, target, layout, self._carrier.columns(record))
        draft.read()
        if "enabled" in layout.sources and draft.is_off():
            self._switched_off += 1
            return ()
        self._count += 1
        jobs = expand(draft, self._recipe, self.ids)
        if self._selection is not None and not self._selection.matches(draft.columns):
            return ()
        if draft.problems:
            return (self._bad(record, draft.problems, draft.id),)
        if target.problems or layout.problems:
            return ()  # a faulty header makes no jobs, whatever else may be left out
        return jobs

    def _layout(self, header: Header, model: str) -> tuple[Target, Layout]:
        if len(self._layouts) > MAX_LAYOUTS:
            self._layouts.clear()
        target = self._models.target(model)
        known = target, LayoutMaker(header, target, self._recipe).make()
        self._layouts[header, model] = known
        return known

    def _first_meeting(self, known: tuple[Target, Layout], header: Header) -> Iterator[BadRow]:
        """Faults of settings and header: said at the first row that meets them."""
        if len(self._met) > MAX_LAYOUTS:
            self._met.clear()
        self._met.add(known)
        problems = dict.fromkeys([*known[0].problems, *known[1].problems])
        fresh = [problem for problem in problems if problem not in self._said]
        self._said.update(fresh)
        if fresh:
            yield fatal_row(*fresh, where=Where(file=header.file, row=header.row))

    def _bad(self, record: Record, problems: Sequence[Problem], id_: str | None = None) -> BadRow:
        return BadRow(
            where=Where(file=record.header.file, row=record.row),
            problems=tuple(dict.fromkeys(problems)),
            columns=self._carrier.columns(record),
            id=id_,
        )

    def _model_problem(self, record: Record, index: int | None, model: str) -> Problem:
        label = "model" if index is None else record.header.label(index)
        where = f"{record.header.file}:{record.row}: {label}"
        if not model:
            return Problem(where, "no model; name one in the row, in `model:` or with --model")
        what = f"{shown(model)} is no model; models are named like 'maker/model/text-to-image'"
        return Problem(where, what)
