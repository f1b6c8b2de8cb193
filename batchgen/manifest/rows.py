"""Records to jobs: the one path that every row of every format takes.

`defaults` < `--param` < row < matrix, then the template, then the schema, then the id. What is
wrong is yielded as a `BadRow` in its place; nothing is raised, and nothing of a row is kept but
its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from batchgen.core.errors import Cause, Problem
from batchgen.core.jobs import Job, Where
from batchgen.core.model_entry import fault_of_model_id, is_model_id
from batchgen.core.schema.values import shown, text_of
from batchgen.manifest.column_mapper import ColumnMapper, ColumnPlan
from batchgen.manifest.header import (
    MAX_HEADERS,
    BadRow,
    Header,
    InputColumns,
    LeftOut,
    Record,
    bad_row,
    folded,
    is_blank,
)
from batchgen.manifest.job_ids import JobIds
from batchgen.manifest.model_binding import ModelBindings
from batchgen.manifest.row_draft import RowDraft
from batchgen.manifest.sampling import Wildcards
from batchgen.manifest.select_expression import Selection
from batchgen.manifest.settings import RowSettings
from batchgen.manifest.steps import StepDrafts

_NAMED_COLUMNS = 12
"""Columns that a note names."""


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
        self._wildcards: Wildcards | None = None
        """New for each pass, because it numbers equal rows."""
        if settings.manifest.wildcards:
            files = settings.local_files
            self._wildcards = Wildcards(
                base_dir=files.base_dir, seed=settings.seed, is_fetched=files.is_fetched
            )
        self._count = 0
        self._switched_off = 0
        self._hidden = 0
        # A file in which every row has other keys is read all the same, only more slowly.
        self._model_column = lru_cache(maxsize=MAX_HEADERS)(self._find_model_column)
        self._plan = lru_cache(maxsize=MAX_HEADERS)(self._make_plan)
        self._compared = lru_cache(maxsize=MAX_HEADERS)(self._plans_of_matrix)

    def read(self, records: Iterable[Record | BadRow]) -> Iterator[Job | BadRow | LeftOut]:
        """Yield every row in the order of the file; that there is none, last."""
        for record in records:
            if _is_job_without_row(record):
                continue
            yield from self._bind_steps()
            self._count += 1
            if not isinstance(record, BadRow):
                yield from self._read_record(record)
                continue
            yield from self._report_header_of(record)
            if record.where.file not in self._wrong_headers:
                yield record
        if self._count == self._switched_off:
            what = f"all {self._switched_off:,} rows are switched off by their `enabled` column"
            if self._hidden:
                what = f"all {self._switched_off:,} rows are hidden; to use them: --include-hidden"
            where = Where(file=self._settings.manifest.file)
            yield bad_row(where, what if self._switched_off else "has no rows", fatal=True)

    def _read_record(self, record: Record) -> Iterator[Job | BadRow | LeftOut]:
        plans = self._plans_of(record)
        if isinstance(plans, Problem):
            yield from self._row_without_model(record, plans)
            return
        for plan in plans:
            if not plan.reported:
                yield from self._report(plan)
        if not plans[0].is_wrong_row:
            yield from self._read_row(record, plans)

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

    def _plans_of(self, record: Record) -> Sequence[ColumnPlan] | Problem:
        """Return what the row's columns mean for its models; a problem if it names none."""
        if "model" in self._settings.manifest.matrix:
            return self._compared(record.header)
        plan = self._plan_of(record)
        return plan if isinstance(plan, Problem) else (plan,)

    def _plans_of_matrix(self, header: Header) -> Sequence[ColumnPlan] | Problem:
        """Return the plans of all models of the matrix.

        A column that only some of them know would make pictures that cannot be compared, so it is
        a mistake.
        """
        where = self._settings.manifest.where("matrix.model")
        plans = []
        for value in self._settings.manifest.matrix["model"]:
            if (plan := self._plan(header, text_of(value).strip())) is None:
                return Problem(where, fault_of_model_id(shown(value)))
            plans.append(plan)
        sent = {one.column: plan for plan in plans for one in plan.to_parameters}
        for plan in plans:
            own = {one.column for one in plan.to_parameters}
            for column in sorted(sent.keys() - own):
                knows, not_known = sent[column].binding.model, plan.binding.model
                what = f"is a parameter of {knows}, and {not_known} does not know it"
                label = f"{header.file}:{header.row}: {header.label(column)}"
                plan.problems.append(Problem(label, f"{what}; drop the column or the model"))
        return plans

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
        return Problem(where, fault_of_model_id(shown(model)))

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

    def _read_row(
        self, record: Record, plans: Sequence[ColumnPlan]
    ) -> Sequence[Job | BadRow | LeftOut]:
        plan = plans[0]
        row = RowDraft(
            record, plan, self._columns.of(record), steps=self._steps, wildcards=self._wildcards
        )
        row.read()
        faults = self._faults_of_cells(record, plan) if record.faults else []
        switch = plan.our_words.get("enabled")
        is_off = switch is not None and switch not in self._unknown(record) and row.is_off()
        if is_off or record.is_hidden:
            self._hidden += record.is_hidden
            self._switched_off += 1
            # It takes no name from another row, and keeps its own: its job is not for others.
            jobs = () if faults else self._jobs(row, plans, JobIds())
            return self._left_out(row, jobs, plan, switched_off=True)
        if faults:
            return self._failed_row(record, row, plan, faults)
        # A row that is not selected takes its id all the same, so that names do not move.
        jobs = self._jobs(row, plans, self.ids)
        if self._selection is not None and not self._selection.matches(row.columns):
            return self._left_out(row, jobs, plan)
        if row.problems:
            return (self._bad(record, row.problems, row.id),)
        # With a faulty header there are no jobs, whatever rows may be left out.
        return () if any(one.problems for one in plans) else jobs

    def _jobs(self, row: RowDraft, plans: Sequence[ColumnPlan], ids: JobIds) -> Sequence[Job]:
        """Return the jobs of a row for each of its models, of which all but a matrix have one."""
        jobs = row.jobs(ids)
        for plan in plans[1:]:
            other = row.for_model(plan)
            # After a mistake in the id, each copy would repeat it.
            jobs = [*jobs, *other.jobs(JobIds() if row.problems else ids)]
            row.problems += [one for one in other.problems if one not in row.problems]
        return jobs

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
