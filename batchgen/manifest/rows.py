"""Records to jobs: the one path that every row of every format takes.

`defaults` < `--param` < row < matrix, then the template, then the schema, then the id. What is
wrong is yielded as a `BadRow` in its place; nothing is raised, and nothing of a row is kept but
its id.

One row while it is being read: its values in the parameters' types, and what is wrong.

One row to its jobs: every combination of the matrix, and the copies of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from batchgen.core.errors import Problem
from batchgen.core.jobs import Job, JSONValue, Where, fingerprint
from batchgen.core.model_entry import is_model_id
from batchgen.core.schema import (
    Given,
    InputFault,
    InvalidValue,
    Kind,
    Property,
    coerce,
    shown,
    text_of,
)
from batchgen.manifest.carried_columns import CarriedColumns
from batchgen.manifest.column_mapper import ColumnMapper, ColumnPlan
from batchgen.manifest.header import BadRow, Header, Record, fatal_row, is_blank
from batchgen.manifest.job_ids import JobIds, fault_of_id, suffix
from batchgen.manifest.model_binding import Cell, ModelBinding
from batchgen.manifest.model_schemas import ModelSchemas
from batchgen.manifest.select_expression import Selection
from batchgen.manifest.settings import MAX_COMBINATIONS, MAX_REPEAT, RowSettings
from batchgen.manifest.templates import Template, variable

_SWITCH = Property(name="enabled", kinds=(Kind.TRUTH,))
_NUMBER = Property(name="enabled", kinds=(Kind.NUMBER,))
_WHOLE = Property(name="repeat", kinds=(Kind.WHOLE,))


class RowDraft:
    """A row under its layout. `read` fills it; problems are collected, not raised."""

    __slots__ = (
        "columns",
        "id",
        "layout",
        "problems",
        "record",
        "target",
        "texts",
        "unfit",
        "values",
    )

    def __init__(
        self, record: Record, target: ModelBinding, layout: ColumnPlan, columns: Mapping[str, str]
    ) -> None:
        self.record = record
        self.target = target
        self.layout = layout
        self.columns = columns
        self.values: dict[str, JSONValue] = target.values.copy()
        self.texts: dict[str, str] = {}
        """For templates: by variable name, blank cells left out."""
        self.problems: list[Problem] = []
        self.unfit: list[str] = []
        """Parameters whose value could not be read: they are not missing too."""
        self.id: str | None = None

    def fault(self, label: str, what: str) -> None:
        """Keep one problem of this row; `label` names the column."""
        where = f"{self.record.header.file}:{self.record.row}: {label}"
        self.problems.append(Problem(where, what))

    def read(self) -> None:
        """The row's own values."""
        cells, values = self.record.cells, self.values
        for index, parameter, read in self.layout.takes:
            given = cells[index]
            if given == "" or is_blank(given):
                continue
            try:
                values[parameter] = read(given)
            except InvalidValue as unfit:
                self.unfit.append(parameter)
                self.fault(self.record.header.label(index), str(unfit))
        if self.layout.needs_care:
            self._read_carefully()
        for label, what in self.layout.row_faults:
            self.fault(label, what)

    def _read_carefully(self) -> None:
        """What only some layouts have: templates, two columns for one thing, a matrix."""
        self._read_texts()
        for parameter, template in self.layout.made:
            if template.variables & self.layout.lacks:
                continue
            try:
                text = template.render(self.texts)
                self.values[parameter] = self.target.read(parameter, text)
            except InvalidValue as unfit:
                self.unfit.append(parameter)
                self.fault(parameter, str(unfit))
        for index, other, reason in self.layout.clashes:
            if not is_blank(self.record.cells[index]) and self._stands(other):
                self.fault(self.record.header.label(index), reason)

    def _stands(self, index: int | None) -> bool:
        return index is None or not is_blank(self.record.cells[index])

    def _read_texts(self) -> None:
        self.texts = self.target.texts.copy()
        for name, index in self.layout.variables:
            if not is_blank(given := self.record.cells[index]):
                self.texts[name] = text_of(given)

    def _word(self, word: str) -> Given:
        """What the row gives for one of our words that its header has."""
        source = self.layout.sources[word]
        if source.template is None:
            return self.record.cells[source.index]
        if source.template.variables & self.layout.lacks:
            return None
        try:
            return source.template.render(self.texts)
        except InvalidValue as unfit:
            self.fault(word, str(unfit))
            return None

    def fault_of_word(self, word: str, what: str) -> None:
        """Keep a problem of one of our words, under the name of its column."""
        source = self.layout.sources[word]
        self.fault(word if source.template else self.record.header.label(source.index), what)

    def is_off(self) -> bool:
        """Whether the row says that it is not meant; any number but 0 means that it is."""
        given = self._word("enabled")
        if is_blank(given):
            return False
        try:
            return not coerce(_NUMBER, given)
        except InvalidValue:
            pass
        try:
            return not coerce(_SWITCH, given)
        except InvalidValue as unfit:
            self.fault_of_word("enabled", str(unfit))
            return False

    def repeat(self, default: int) -> int:
        """How many copies the row wants."""
        given = self._word("repeat")
        if is_blank(given):
            return default
        try:
            number = coerce(_WHOLE, given)
        except InvalidValue as unfit:
            self.fault_of_word("repeat", str(unfit))
            return 1
        if isinstance(number, int) and 1 <= number <= MAX_REPEAT:
            return number
        self.fault_of_word("repeat", f"{number} copies; allowed 1 to {MAX_REPEAT:,}")
        return 1

    def read_id(self) -> str | None:
        """The row's own id without outer blanks; kept in `id`, and None where it is not usable."""
        given = self._word("id")
        if is_blank(given):
            return None
        self.id = text_of(given).strip()
        if fault := fault_of_id(self.id):
            self.fault_of_word("id", fault)
            return None
        return self.id


def expand(draft: RowDraft, recipe: RowSettings, ids: JobIds) -> list[Job]:
    """The jobs of a row; unusable where the draft has problems afterwards."""
    own_id = _own_id(draft, ids) if "id" in draft.layout.sources else None
    repeat = recipe.head.repeat
    if "repeat" in draft.layout.sources:
        repeat = draft.repeat(repeat)
    if draft.target.size * repeat > MAX_COMBINATIONS:
        draft.fault("repeat", f"more than {MAX_COMBINATIONS:,} jobs from one row")
        return []
    jobs: list[Job] = []
    for cells in draft.target.combinations():
        values = _combined(draft, recipe, cells) if cells or recipe.template else draft.values
        for fault in draft.target.check(values):
            _keep(draft, fault)
        if not draft.problems:
            jobs.extend(_copies(draft, values, cells, repeat, ids, own_id))
    return jobs


def _own_id(draft: RowDraft, ids: JobIds) -> str | None:
    own_id = draft.read_id()
    if own_id is None:
        return None
    record = draft.record
    if other := ids.claim(own_id, record.header.file, record.row):
        draft.fault_of_word("id", f"{own_id!r} is the id of {other} too; every row needs its own")
    return own_id


def _combined(
    draft: RowDraft, recipe: RowSettings, cells: tuple[Cell, ...]
) -> dict[str, JSONValue]:
    """The row's values with those of one combination, and the rendered prompt."""
    values = draft.values.copy()
    for cell in cells:
        if cell.parameter is not None:
            values[cell.parameter] = cell.value
    text = draft.target.text_parameter
    if recipe.template is None or text is None or recipe.variables & draft.layout.lacks:
        return values
    texts = {**draft.texts, **{variable(cell.key): cell.text for cell in cells}}
    try:
        values[text] = draft.target.read(text, _rendered(recipe.template, texts))
    except InvalidValue as unfit:
        draft.unfit.append(text)
        draft.fault(draft.layout.labels.get(text, text), str(unfit))
    return values


def _rendered(template: Template, texts: Mapping[str, str]) -> str:
    text = template.render(texts)
    if not text.strip():
        raise InvalidValue("the template gives an empty text for this row")
    return text


def _keep(draft: RowDraft, fault: InputFault) -> None:
    """A fault of the whole input, under the name of the column that it came from."""
    name = fault.parameter
    if name in draft.unfit:
        return
    label = draft.layout.labels.get(name)
    if not fault.is_missing:
        draft.fault(label or name, str(fault))
    elif label is not None:
        draft.fault(label, f"is empty; {draft.target.model} needs it")
    elif name not in draft.layout.nobody_gives:
        draft.fault(name, f"is missing; {draft.target.model} needs it")


def _copies(
    draft: RowDraft,
    values: dict[str, JSONValue],
    cells: tuple[Cell, ...],
    repeat: int,
    ids: JobIds,
    own_id: str | None,
) -> list[Job]:
    record, model = draft.record, draft.target.model
    where = Where(file=record.header.file, row=record.row)
    name = fingerprint(model, values) if own_id is None else own_id
    if cells:
        name += suffix([(cell.key, cell.text) for cell in cells])
    jobs = []
    for number in range(1, repeat + 1):
        if own_id is None:
            id_ = ids.take(name, where.file, record.row)
        else:
            id_ = name if number == 1 else f"{name}~{number}"
            if id_ != own_id and (other := ids.claim(id_, where.file, record.row)):
                draft.fault_of_word("id", f"a copy would be called {id_!r}, as {other} is")
        jobs.append(Job(id=id_, model=model, input=values, where=where, columns=draft.columns))
    return jobs


MAX_LAYOUTS = 2000
"""Headers times models that are kept; a file where every row has other keys works all the same."""


class Rows:
    """One pass over the records of a manifest."""

    def __init__(
        self,
        *,
        recipe: RowSettings,
        models: ModelSchemas,
        carrier: CarriedColumns,
        selection: Selection | None,
    ) -> None:
        self._recipe = recipe
        self._models = models
        self._carrier = carrier
        self._selection = selection
        self.ids = JobIds()
        self._layouts: dict[tuple[Header, str], tuple[ModelBinding, ColumnPlan]] = {}
        self._met: set[tuple[ModelBinding, ColumnPlan]] = set()
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

    def _known(self, record: Record) -> tuple[ModelBinding, ColumnPlan] | Problem:
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

    def _row(
        self, record: Record, target: ModelBinding, layout: ColumnPlan
    ) -> Sequence[Job | BadRow]:
        draft = RowDraft(record, target, layout, self._carrier.columns(record))
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

    def _layout(self, header: Header, model: str) -> tuple[ModelBinding, ColumnPlan]:
        if len(self._layouts) > MAX_LAYOUTS:
            self._layouts.clear()
        target = self._models.target(model)
        known = target, ColumnMapper(header, target, self._recipe).make()
        self._layouts[header, model] = known
        return known

    def _first_meeting(
        self, known: tuple[ModelBinding, ColumnPlan], header: Header
    ) -> Iterator[BadRow]:
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
