"""One row while it is being read: its values in the parameters' types, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.core.errors import Problem
from batchgen.core.jobs import JSONValue
from batchgen.core.schema import Given, Kind, Property, Unfit, coerce, text_of
from batchgen.manifest.header import Record, is_blank
from batchgen.manifest.identity import fault_of_id
from batchgen.manifest.layout import Layout
from batchgen.manifest.recipe import MAX_REPEAT
from batchgen.manifest.target import Target

_SWITCH = Property(name="enabled", kinds=(Kind.TRUTH,))
_NUMBER = Property(name="enabled", kinds=(Kind.NUMBER,))
_WHOLE = Property(name="repeat", kinds=(Kind.WHOLE,))


class Draft:
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
        self, record: Record, target: Target, layout: Layout, columns: Mapping[str, str]
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
            except Unfit as unfit:
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
            except Unfit as unfit:
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
        except Unfit as unfit:
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
        except Unfit:
            pass
        try:
            return not coerce(_SWITCH, given)
        except Unfit as unfit:
            self.fault_of_word("enabled", str(unfit))
            return False

    def repeat(self, default: int) -> int:
        """How many copies the row wants."""
        given = self._word("repeat")
        if is_blank(given):
            return default
        try:
            number = coerce(_WHOLE, given)
        except Unfit as unfit:
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
