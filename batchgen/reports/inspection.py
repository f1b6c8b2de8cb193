"""The inspection of a batch: the findings of each row, in one pass in the manifest's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from batchgen.core.events import OutputFile
from batchgen.core.output_checks import Measure, SamePictures, findings
from batchgen.reports.results_csv import ResultRow


@dataclass(frozen=True, slots=True)
class Inspection:
    """One pass: give it every row, in their order, so that the later of two names the earlier."""

    measure: Callable[[OutputFile], Measure]
    _seen: SamePictures = field(default_factory=SamePictures)

    def checked(self, row: ResultRow) -> ResultRow:
        """Return the row with what is to be said of the files that are shown."""
        files = row.shown.files if row.shown is not None else ()
        if not files:
            return row
        found: dict[str, None] = {}
        for file in files:
            measure = self.measure(file)
            same_as = self._seen.earlier(row.job, file.sha256, measure)
            found |= dict.fromkeys(findings(measure, row.given, same_as))
        return replace(row, checks=tuple(found)) if found else row
