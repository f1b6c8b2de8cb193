"""Records to jobs: the one path that every row of every format takes.

`defaults` < `--param` < row < matrix, then the template, then the schema, then the id. What is
wrong is yielded as a `BadRow` in its place; nothing is raised, and nothing of a row is kept but
its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import Cause, Problem
from batchgen.core.jobs import Job, StepDraft, Where, fingerprint
from batchgen.core.json_reader import JSONValue
from batchgen.core.model_entry import is_model_id
from batchgen.core.schema.coercion import coerce
from batchgen.core.schema.inputs import InputFault
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import Given, InvalidValue, shown, text_of
from batchgen.manifest.column_mapper import ColumnMapper, ColumnPlan
from batchgen.manifest.header import (
    MAX_HEADERS,
    BadRow,
    Header,
    HeaderKind,
    InputColumns,
    LeftOut,
    Record,
    bad_row,
    folded,
    is_blank,
)
from batchgen.manifest.job_ids import JobIds, fault_of_id, suffix
from batchgen.manifest.model_binding import MatrixValue, ModelBindings
from batchgen.manifest.select_expression import Selection
from batchgen.manifest.settings import MAX_COMBINATIONS, MAX_REPEAT, RowSettings
from batchgen.manifest.steps import StepDrafts
from batchgen.manifest.templates import Template, variable
from batchgen.manifest.unintended import fault_of_cell

_NAMED_COLUMNS = 12
"""Columns that a note names."""
_SWITCH = Property(name="enabled", kinds=(Kind.TRUTH, Kind.NUMBER))
_WHOLE = Property(name="repeat", kinds=(Kind.WHOLE,))


class Rows:
    """One pass over the records of a manifest."""

    def __init__(
        self,
        *,
        settings: RowSettings,
        models: ModelBindings,
        columns: InputColumns,
        selection: Selection | None,
        headers: Iterable[Header] = (),
    ) -> None:
        """Read rows below `headers`, those of spreadsheets; other rows bring their own."""
        self.ids = JobIds()
        self._settings = settings
        self._columns = columns
        self._selection = selection
        self._models = models
        self._sheets = {header.file: header for header in headers}
        self._wrong_headers: set[str] = set()
        """Files whose header seems to be in another row."""
        self.carried: dict[str, None] = {}
        """Columns that are only carried by the rows of some model, in the order of the file."""
        self._sent: set[str] = set()
        self._reported: set[Problem] = set()
        self._steps: StepDrafts | None = None
        self._count = 0
        self._switched_off = 0
        self._hidden = 0
        # A file in which every row has other keys is read all the same, only more slowly.
        self._model_column = lru_cache(maxsize=MAX_HEADERS)(self._find_model_column)
        self._plan = lru_cache(maxsize=MAX_HEADERS)(self._make_plan)

    def read(self, records: Iterable[Record | BadRow]) -> Iterator[Job | BadRow | LeftOut]:
        """Yield every row in the order of the file; that there is none, last."""
        for record in records:
            if _is_job_without_row(record):
                continue
            yield from self._bind_steps()
            self._count += 1
            if isinstance(record, BadRow):
                yield from self._report_header_of(record)
                if record.where.file not in self._wrong_headers:
                    yield record
                continue
            plan = self._plan_of(record)
            if isinstance(plan, Problem):
                yield from self._row_without_model(record, plan)
                continue
            if not plan.reported:
                yield from self._report(plan)
            if not plan.is_wrong_row:
                yield from self._read_row(record, plan)
        if self._count == self._switched_off:
            what = f"all {self._switched_off:,} rows are switched off by their `enabled` column"
            if self._hidden:
                what = f"all {self._switched_off:,} rows are hidden; to use them: --include-hidden"
            where = Where(file=self._settings.manifest.file)
            yield bad_row(where, what if self._switched_off else "has no rows", fatal=True)

    def _bind_steps(self) -> Iterator[BadRow]:
        """Look at the models of the steps once, and report what is wrong in every row."""
        if self._steps is not None or not self._settings.manifest.steps:
            return
        self._steps = StepDrafts(self._settings, self._models)
        if problems := tuple(dict.fromkeys(self._steps.problems)):
            where = Where(file=self._settings.manifest.file)
            yield BadRow(where=where, problems=problems, fatal=True)

    def _row_without_model(self, record: Record, problem: Problem) -> Iterator[BadRow]:
        if record.is_hidden:
            self._hidden += 1
            self._switched_off += 1
        else:
            yield self._bad(record, self._faults_of_cells(record, None) or [problem])

    def note_on_carried(self) -> str | None:
        """Return a note that names the columns whose values are sent nowhere."""
        names = [name for name in self.carried if name not in self._sent]
        if not names:
            return None
        shown = ", ".join(map(repr, names[:_NAMED_COLUMNS]))
        more = f" and {len(names) - _NAMED_COLUMNS} more" if len(names) > _NAMED_COLUMNS else ""
        return f"carried to the results and not sent: {shown}{more}; --drop NAME leaves one out"

    def _plan_of(self, record: Record) -> ColumnPlan | Problem:
        """Return what the row's columns mean for its model; a problem if it names no model."""
        index = self._model_column(record.header)
        given = None if index is None else record.cells[index]
        model = (self._settings.model or "") if is_blank(given) else text_of(given).strip()
        if (plan := self._plan(record.header, model)) is not None:
            return plan
        label = "model" if index is None else record.header.label(index)
        where = f"{record.header.file}:{record.row}: {label}"
        if not model:
            what = "no model; name one in the row, in `model:` or with --model"
            return Problem(where, what, Cause.NO_MODEL)
        what = f"{shown(model)} is no model; models are named like 'maker/model/text-to-image'"
        return Problem(where, what)

    def _make_plan(self, header: Header, model: str) -> ColumnPlan | None:
        if not is_model_id(model):
            return None
        return ColumnMapper(header, self._models.binding(model)).plan()

    def _find_model_column(self, header: Header) -> int | None:
        wanted = self._settings.columns.get("model", "model")
        names = [folded(name) for name in header.names]
        if not isinstance(wanted, str) or folded(wanted) not in names:
            return None
        index = names.index(folded(wanted))
        return None if index in header.ignored else index

    def _report_header_of(self, row: BadRow) -> Iterator[BadRow]:
        """Report the header of a file whose rows do not fit it: it may be the reason."""
        header = self._sheets.get(row.where.file)
        plan = self._plan(header, self._settings.model or "") if header else None
        if plan is not None and not plan.reported:
            yield from self._report(plan)

    def _report(self, plan: ColumnPlan) -> Iterator[BadRow]:
        """Report the faults of settings and header, each at the first row that meets it."""
        plan.reported = True
        if plan.is_wrong_row:
            self._wrong_headers.add(plan.header.file)
        self.carried.update(dict.fromkeys(plan.only_carried))
        self._sent.update(set(plan.header.carried).difference(plan.only_carried))
        new = [one for one in dict.fromkeys(plan.problems) if one not in self._reported]
        self._reported.update(new)
        if new:
            where = Where(file=plan.header.file, row=plan.header.row)
            yield BadRow(where=where, problems=tuple(new), fatal=True)

    def _read_row(self, record: Record, plan: ColumnPlan) -> Sequence[Job | BadRow | LeftOut]:
        row = RowDraft(record, plan, self._columns.of(record), self._steps)
        row.read()
        faults = self._faults_of_cells(record, plan) if record.faults else []
        switch = plan.our_words.get("enabled")
        is_off = switch is not None and switch not in self._unknown(record) and row.is_off()
        if is_off or record.is_hidden:
            self._hidden += record.is_hidden
            self._switched_off += 1
            # It takes no name from another row, and keeps its own: its job is not for others.
            jobs = () if faults else row.jobs(JobIds())
            return self._left_out(row, jobs, plan, switched_off=True)
        if faults:
            return self._failed_row(record, row, plan, faults)
        # A row that is not selected takes its id all the same, so that names do not move.
        jobs = row.jobs(self.ids)
        if self._selection is not None and not self._selection.matches(row.columns):
            return self._left_out(row, jobs, plan)
        if row.problems:
            return (self._bad(record, row.problems, row.id),)
        # With a faulty header there are no jobs, whatever rows may be left out.
        return () if plan.problems else jobs

    def _left_out(
        self, row: RowDraft, jobs: Sequence[Job], plan: ColumnPlan, *, switched_off: bool = False
    ) -> tuple[()] | tuple[LeftOut]:
        """Return what says that a row still has its jobs; its mistakes do not matter."""
        names = [job.id for job in jobs]
        if not names and "id" in plan.our_words and (own_id := row.id or row.given_id()):
            names = [own_id]
        left_out = LeftOut(jobs=tuple(names), columns=row.columns, switched_off=switched_off)
        return (left_out,) if names else ()

    def _unknown(self, record: Record) -> frozenset[int]:
        """Return the columns whose value the row does not give although it has one."""
        return frozenset(one.column for one in record.faults if not one.is_carried_anyway)

    def _faults_of_cells(self, record: Record, plan: ColumnPlan | None) -> list[Problem]:
        """Return the cells that could not be read and whose value would be used."""
        header = record.header
        return [
            Problem(f"{header.file}:{record.row}: {header.label(one.column)}", one.what)
            for one in record.faults
            if one.column not in header.ignored
            and header.names[one.column] not in header.secrets
            and (not one.is_carried_anyway or plan is None or plan.uses(one.column))
        ]

    def _failed_row(
        self, record: Record, row: RowDraft, plan: ColumnPlan, faults: Sequence[Problem]
    ) -> Sequence[BadRow | LeftOut]:
        """Return the bad row, or none if it is certain that it was not selected."""
        names = {folded(record.header.names[column]) for column in self._unknown(record)}
        selection = self._selection
        asked = {one.column for one in selection.conditions} if selection else frozenset()
        if selection and not names & asked and not selection.matches(row.columns):
            return self._left_out(row, (), plan)
        return (self._bad(record, faults),)

    def _bad(self, record: Record, problems: Sequence[Problem], id_: str | None = None) -> BadRow:
        return BadRow(
            where=Where(file=record.header.file, row=record.row),
            problems=tuple(dict.fromkeys(problems)),
            columns=self._columns.of(record),
            id=id_,
        )


def _is_job_without_row(record: Record | BadRow) -> bool:
    """Return whether a row of our own results is of a job whose row had gone: only we wrote it."""
    if isinstance(record, BadRow) or not record.header.is_results or record.faults:
        return False
    ignored = record.header.ignored
    return all(is_blank(cell) for i, cell in enumerate(record.cells) if i not in ignored)


class RowDraft:
    """One row on its way to its jobs; problems are collected, not raised."""

    __slots__ = (
        "_binding", "_plan", "_record", "_settings", "_steps", "_texts", "_unfit", "_values",
        "columns", "id", "problems",
    )  # fmt: skip

    def __init__(
        self,
        record: Record,
        plan: ColumnPlan,
        columns: Mapping[str, str],
        steps: StepDrafts | None = None,
    ) -> None:
        self.columns = columns
        self._steps = steps
        self.problems: list[Problem] = []
        self.id: str | None = None
        self._record = record
        self._plan = plan
        self._binding = plan.binding
        self._settings = plan.binding.settings
        self._values: dict[str, JSONValue] = self._binding.values.copy()
        self._texts: dict[str, str] = {}
        """For templates: by variable name, blank cells left out."""
        self._unfit: list[str] = []
        """Parameters whose value could not be read, so that they are not reported missing too."""

    def read(self) -> None:
        """Read the row's own values."""
        cells, values = self._record.cells, self._values
        for index, parameter, read in self._plan.to_parameters:
            given = cells[index]
            if given == "" or is_blank(given):
                continue
            try:
                values[parameter] = read(given)
            except InvalidValue as unfit:
                self._unfit.append(parameter)
                self._fault(index, str(unfit))
        if not self._plan.is_plain:
            self._read_texts()
            self._render_parameters()
            self._find_clashes()
        for label, what in self._plan.row_faults:
            self._fault(label, what)

    def _fault(self, column: int | str, what: str, cause: Cause | None = None) -> None:
        """Add a problem of this row, under the label of a column or another name."""
        header = self._record.header
        label = column if isinstance(column, str) else header.label(column)
        where = f"{header.file}:{self._record.row}: {label}"
        self.problems.append(Problem(where, what, cause))

    def _read_texts(self) -> None:
        self._texts = self._binding.texts.copy()
        for name, index in self._plan.variables:
            given = self._record.cells[index]
            if fault := self._fault_of_cell(given):
                self._fault(index, fault)
            if not is_blank(given):
                self._texts[name] = text_of(given)

    def _fault_of_cell(self, given: Given) -> str | None:
        is_table = self._record.header.kind is HeaderKind.SHEET
        return fault_of_cell(given) if is_table else None

    def _render_parameters(self) -> None:
        for parameter, template in self._plan.templates:
            if template.variables & self._plan.unknown_variables:
                continue
            try:
                text = template.render(self._texts)
                self._values[parameter] = self._binding.read(parameter, text)
            except InvalidValue as unfit:
                self._unfit.append(parameter)
                self._fault(parameter, str(unfit))

    def _find_clashes(self) -> None:
        cells = self._record.cells
        for index, other, reason in self._plan.clashes:
            if not is_blank(cells[index]) and (other is None or not is_blank(cells[other])):
                self._fault(index, reason)

    def is_off(self) -> bool:
        """Return whether the row is switched off; any number but 0 means on."""
        given = self._our_word("enabled")
        if is_blank(given):
            return False
        try:
            return not coerce(_SWITCH, given)
        except InvalidValue as unfit:
            self._fault_of_word("enabled", str(unfit))
            return False

    def jobs(self, ids: JobIds) -> Sequence[Job]:
        """Return a job for each combination of the matrix and each copy.

        They may be used only if there are no `problems` afterwards.
        """
        own_id = self._own_id(ids) if "id" in self._plan.our_words else None
        repeat = self._settings.manifest.repeat
        if "repeat" in self._plan.our_words:
            repeat = self._own_repeat(repeat)
        if self._binding.combination_count * repeat > MAX_COMBINATIONS:
            self._fault("repeat", f"more than {MAX_COMBINATIONS:,} jobs from one row")
            return ()
        jobs: list[Job] = []
        template = self._settings.template
        for combination in self._binding.combinations():
            values = self._combined(combination) if combination or template else self._values
            for fault in self._binding.check(values):
                self._fault_of_input(fault)
            drafts = self._drafts(values, combination)
            if not self.problems:
                jobs.extend(self._copies(values, combination, repeat, ids, own_id, drafts))
        return jobs

    def _drafts(
        self, values: Mapping[str, JSONValue], combination: tuple[MatrixValue, ...]
    ) -> tuple[StepDraft, ...]:
        """Return the later steps of the row with one combination of the matrix."""
        if self._steps is None or self._plan.unknown_variables:
            return ()
        texts = self._texts | {variable(one.key): one.text for one in combination}
        prompt = str(values.get(self._binding.text_parameter or "", ""))
        return self._steps.of_row(texts, prompt, self._fault)

    def _our_word(self, word: str) -> Given:
        """Return what the row gives for one of our words that its header has."""
        source = self._plan.our_words[word]
        if not isinstance(source, Template):
            return self._record.cells[source]
        if source.variables & self._plan.unknown_variables:
            return None
        try:
            return source.render(self._texts)
        except InvalidValue as unfit:
            self._fault(word, str(unfit))
            return None

    def _fault_of_word(self, word: str, what: str, cause: Cause | None = None) -> None:
        source = self._plan.our_words[word]
        self._fault(word if isinstance(source, Template) else source, what, cause)

    def given_id(self) -> str:
        """Return the row's own id as it is written, whatever may be wrong with it."""
        given = self._our_word("id")
        return "" if is_blank(given) else text_of(given).strip()

    def _own_repeat(self, default: int) -> int:
        given = self._our_word("repeat")
        if is_blank(given):
            return default
        try:
            number = coerce(_WHOLE, given)
        except InvalidValue as unfit:
            self._fault_of_word("repeat", str(unfit))
            return 1
        if isinstance(number, int) and 1 <= number <= MAX_REPEAT:
            return number
        self._fault_of_word("repeat", f"{number} copies; allowed 1 to {MAX_REPEAT:,}")
        return 1

    def _own_id(self, ids: JobIds) -> str | None:
        """Return the row's own id in canonical form, and take it; None if it has no usable."""
        given = self._our_word("id")
        if is_blank(given):
            return None
        self.id = canonical_text(text_of(given)) or None
        if self.id is None:
            return None
        if fault := self._fault_of_cell(given) or fault_of_id(self.id):
            self._fault_of_word("id", fault)
            return None
        if other := ids.claim(self.id, self._record.header.file, self._record.row):
            what = f"{self.id!r} is the id of {other} too; every row needs its own"
            self._fault_of_word("id", what, Cause.REPEATED_ID)
        return self.id

    def _combined(self, combination: tuple[MatrixValue, ...]) -> dict[str, JSONValue]:
        """Return the row's values with those of one combination, and the rendered prompt."""
        template, text = self._settings.template, self._binding.text_parameter
        values = self._values.copy()
        values.update((one.parameter, one.value) for one in combination if one.parameter)
        if template is None or text is None or template.variables & self._plan.unknown_variables:
            return values
        try:
            rendered = template.render(
                self._texts | {variable(one.key): one.text for one in combination}
            )
            if not rendered.strip():
                raise InvalidValue("the template gives an empty text for this row")  # noqa: TRY301
            values[text] = self._binding.read(text, rendered)
        except InvalidValue as unfit:
            self._unfit.append(text)
            self._fault(self._plan.labels.get(text, text), str(unfit))
        return values

    def _fault_of_input(self, fault: InputFault) -> None:
        """Add a fault of the whole input, under the name of the column that it came from."""
        name = fault.parameter
        if name in self._unfit:
            return
        label = self._plan.labels.get(name)
        if not fault.is_missing:
            self._fault(label or name, str(fault))
        elif label is not None:
            self._fault(label, f"is empty; {self._binding.model} needs it")
        elif name not in self._plan.not_given:
            hint = self._plan.hints.get(name, "")
            what = f"is missing; {self._binding.model} needs it{hint}"
            self._fault(name, what, Cause.NO_KEY if hint else None)

    def _copies(
        self,
        values: dict[str, JSONValue],
        combination: tuple[MatrixValue, ...],
        repeat: int,
        ids: JobIds,
        own_id: str | None,
        drafts: tuple[StepDraft, ...] = (),
    ) -> Iterator[Job]:
        model = self._binding.model
        where = Where(file=self._record.header.file, row=self._record.row)
        digest = fingerprint(model, values) if own_id is None else ""
        name = own_id or digest
        if combination:
            name += suffix([(one.key, one.text) for one in combination])
        for number in range(1, repeat + 1):
            if own_id is None:
                id_ = ids.take(name, where.file, self._record.row)
            else:
                id_ = name if number == 1 else f"{name}~{number}"
                if id_ != own_id and (other := ids.claim(id_, where.file, self._record.row)):
                    what = f"a copy would be called {id_!r}, as {other} is"
                    self._fault_of_word("id", what)
            if id_ != name:
                ids.note_copy(values, where)
            yield Job(
                id=id_, model=model, input=values, where=where, columns=self.columns,
                known_fingerprint=digest, step=self._steps.first if self._steps else "",
                steps=drafts,
            )  # fmt: skip
