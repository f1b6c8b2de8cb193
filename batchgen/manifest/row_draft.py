"""One row on its way to its jobs: its own values, then matrix, template, schema and id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import Cause, Problem
from batchgen.core.jobs import (
    Asset,
    Job,
    Place,
    StepDraft,
    Where,
    fingerprint,
    identity_of,
    with_values,
)
from batchgen.core.json_reader import JSONValue
from batchgen.core.schema.coercion import coerce
from batchgen.core.schema.inputs import InputFault
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import Given, InvalidValue, text_of
from batchgen.manifest.column_mapper import ColumnPlan
from batchgen.manifest.header import HeaderKind, Record, is_blank
from batchgen.manifest.job_ids import MAX_REPEAT, JobIds, fault_of_id, suffix
from batchgen.manifest.model_binding import MAX_COMBINATIONS, MatrixValue
from batchgen.manifest.templates import Template, variable
from batchgen.manifest.unintended import fault_of_cell

if TYPE_CHECKING:
    from batchgen.manifest.sampling import Wildcards
    from batchgen.manifest.steps import StepDrafts

_SWITCH = Property(name="enabled", kinds=(Kind.TRUTH, Kind.NUMBER))
_WHOLE = Property(name="repeat", kinds=(Kind.WHOLE,))


class RowDraft:
    """One row on its way to its jobs; problems are collected, not raised."""

    __slots__ = (
        "_binding", "_has_id", "_plan", "_record", "_settings", "_steps", "_texts", "_unfit",
        "_values", "_wildcards", "columns", "id", "problems",
    )  # fmt: skip

    def __init__(
        self,
        record: Record,
        plan: ColumnPlan,
        columns: Mapping[str, str],
        *,
        steps: StepDrafts | None = None,
        wildcards: Wildcards | None = None,
    ) -> None:
        self.columns = columns
        self._has_id = False
        """Whether the row has taken its id already, for another model of the matrix."""
        self._steps, self._wildcards = steps, wildcards
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

    def for_model(self, plan: ColumnPlan) -> RowDraft:
        """Return the same row for another model of the matrix, read."""
        row = RowDraft(
            self._record, plan, self.columns, steps=self._steps, wildcards=self._wildcards
        )
        row._has_id = True
        row.read()
        return row

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
            if self._wildcards is None:
                jobs += self._made(values, combination, range(1, repeat + 1), ids, own_id)
                continue
            key = self._wildcards.key_of_row(self._name(values, combination, own_id))
            for number in range(1, repeat + 1):
                picked = self._with_picks(values, f"{key}\0{number}")
                jobs += self._made(picked, combination, range(number, number + 1), ids, own_id)
        return jobs

    def _made(
        self,
        values: dict[str, JSONValue],
        combination: tuple[MatrixValue, ...],
        numbers: range,
        ids: JobIds,
        own_id: str | None,
    ) -> Sequence[Job]:
        """Return the copies with these numbers, once the whole input was checked."""
        for fault in self._binding.check(values):
            self._fault_of_input(fault)
        assets = self._binding.assets_of(values, self._fault_of_file)
        values = with_values(values, {place: one.as_input() for place, one in assets.items()})
        drafts = self._drafts(values, combination)
        if self.problems:
            return ()
        return list(self._copies(values, combination, numbers, ids, own_id, drafts, assets))

    def _name(
        self,
        values: Mapping[str, JSONValue],
        combination: tuple[MatrixValue, ...],
        own_id: str | None,
    ) -> str:
        """Return what names the row to those who pick: its id, or else what it says."""
        if own_id is None:
            return fingerprint(self._binding.model, values)
        return own_id + suffix([(one.key, one.text) for one in combination])

    def _with_picks(self, values: dict[str, JSONValue], key: str) -> dict[str, JSONValue]:
        """Return the values with every wildcard of the prompt picked."""
        text = self._binding.text_parameter
        prompt = values.get(text or "")
        if self._wildcards is None or text is None or not isinstance(prompt, str):
            return values
        try:
            return {**values, text: self._wildcards.expanded(prompt, key)}
        except InvalidValue as unfit:
            self._fault(self._plan.labels.get(text, text), str(unfit))
            return values

    def _fault_of_file(self, parameter: str, what: str) -> None:
        self._fault(self._plan.labels.get(parameter, parameter), what)

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
        if fault := self._fault_of_cell(given) or fault_of_id(self.id) or self._clash(self.id):
            self._fault_of_word("id", fault)
            return None
        file, row = self._record.header.file, self._record.row
        if not self._has_id and (other := ids.claim(self.id, file, row)):
            what = f"{self.id!r} is the id of {other} too; every row needs its own"
            self._fault_of_word("id", what, Cause.REPEATED_ID)
        return self.id

    def _clash(self, id_: str) -> str | None:
        """Return why an id cannot be used: it would be the name of a job of a later step."""
        _, at, rest = id_.rpartition("@")
        if not at or self._steps is None or rest.partition("#")[0] not in self._steps.names:
            return None
        return f"{id_!r} is how the job of a step is called; rename the row or the step"

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
        numbers: range,
        ids: JobIds,
        own_id: str | None,
        drafts: tuple[StepDraft, ...],
        assets: Mapping[Place, Asset],
    ) -> Iterator[Job]:
        model = self._binding.model
        where = Where(file=self._record.header.file, row=self._record.row)
        digest = fingerprint(model, identity_of(values, assets)) if own_id is None else ""
        name = own_id or digest
        columns = self.columns
        if combination:
            name += suffix([(one.key, one.text) for one in combination])
            columns = {**columns, **{one.key: one.text for one in combination}}
        for number in numbers:
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
                id=id_, model=model, input=values, where=where, columns=columns,
                known_fingerprint=digest, step=self._steps.first if self._steps else "",
                steps=drafts, assets=assets,
            )  # fmt: skip
