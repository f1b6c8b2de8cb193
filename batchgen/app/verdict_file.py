"""The verdicts in a file that the user gives: an edited results file, the page's export, JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import ManifestError, ManifestNotFound, Problem
from batchgen.core.jobs import Where
from batchgen.core.lifecycle import JobRecord
from batchgen.core.reviews import Verdict, VerdictWord, seed_sentence
from batchgen.core.schema.values import text_of
from batchgen.core.spreadsheet import restore
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.file_access import is_pipe, spooled
from batchgen.manifest.formats import format_of
from batchgen.manifest.formats.row_source import open_rows
from batchgen.manifest.header import BadRow, CellFault, Header, ReadOptions, Record, folded

if TYPE_CHECKING:
    from batchgen.app.batch_snapshot import BatchSnapshot

_COLUMNS = ("job", "verdict", "take", "note")
_NEEDED = _COLUMNS[:2]
_FORMATS = frozenset({"csv", "tsv", "xlsx", "jsonl"})
_TAKE_DIGITS = 10
_WORDS = ", ".join(VerdictWord)


@dataclass(slots=True)
class FoundVerdicts:
    """What a file says, once everything in it is right."""

    verdicts: list[Verdict] = field(default_factory=list)
    earlier: int = 0
    """Verdicts on a take that is not the latest any more."""
    notes: list[str] = field(default_factory=list)

    def count(self, word: VerdictWord) -> int:
        """Return how many verdicts have this word."""
        return sum(one.verdict is word for one in self.verdicts)


def read_verdicts(file: str, snapshot: BatchSnapshot, *, now: str) -> FoundVerdicts:
    """Read the file; the verdicts are given at the time `now`.

    Raises `ManifestError` with every row that is wrong, and `ManifestNotFound`.
    """
    known = {row.job: row.record for row in snapshot.rows() if row.job}
    reading = _Reading(known=known, now=now)
    for row in _rows(file):
        reading.take(row)
    if reading.problems:
        error = ManifestError(reading.problems)
        error.consequence = "no verdict was stored"
        raise error
    found = reading.found
    if reading.lone_notes:
        found.notes.append(f"{reading.lone_notes:,} rows have a note and no verdict: left out")
    redone = {one.job for one in found.verdicts if one.verdict is VerdictWord.REDO}
    if redone and snapshot.loaded is not None:
        batch = snapshot.loaded.batch(snapshot.records)
        rows = (job for job in batch.jobs() if job.id in redone)
        if seeds := sum("seed" in job.input for job in rows):
            found.notes.append(seed_sentence(seeds))
    return found


def _rows(file: str) -> Iterator[Record | BadRow]:
    if file != "-":
        if is_pipe(Path(file), file):
            with Path(file).open("rb") as stream:
                path = spooled(stream)
            yield from _rows_of_copy(path, file, format_of(Path(file), None, file))
            return
        yield from _open(Path(file), file, format_of(Path(file), None, file))
        return
    if sys.stdin is None:
        raise ManifestNotFound("the verdicts are to come from stdin, which is closed")
    yield from _rows_of_copy(spooled(sys.stdin.buffer), "stdin", "csv")


def _rows_of_copy(path: Path, shown: str, format_: str) -> Iterator[Record | BadRow]:
    try:
        yield from _open(path, shown, format_)
    finally:
        path.unlink(missing_ok=True)


def _open(path: Path, shown: str, format_: str) -> Iterator[Record | BadRow]:
    if format_ not in _FORMATS:
        what = "verdicts are read from .csv, .tsv, .xlsx and .jsonl files, and from stdin as CSV"
        raise ManifestError([Problem(shown, what)])
    source = open_rows(path, shown, format_, ReadOptions(include_hidden=True))
    if format_ != "jsonl":
        for header in source.headers:
            _require_columns(header)
    return source.records()


def _require_columns(header: Header) -> None:
    """Raise `ManifestError` for a table that has no column of jobs or of verdicts."""
    columns = _columns_of(header)
    where = f"{header.file}:{header.row}"
    missing = [Problem(where, f"no column {name!r}") for name in _NEEDED if name not in columns]
    if missing:
        raise ManifestError(missing)


def _columns_of(header: Header) -> dict[str, int]:
    """Return where the columns of a review are.

    In our own results they are among the columns that were added: an input column may have the
    same name.
    """
    added = [
        (folded(name), i)
        for i, name in enumerate(header.names)
        if not header.is_results or i in header.ignored
    ]
    return {name: i for name, i in reversed(added) if name in _COLUMNS}


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One pass over a file."""

    known: Mapping[str, JobRecord | None]
    now: str
    found: FoundVerdicts = field(default_factory=FoundVerdicts)
    problems: list[Problem] = field(default_factory=list)
    lone_notes: int = 0
    _columns: dict[int, dict[str, int]] = field(default_factory=dict)
    _headers: list[Header] = field(default_factory=list)

    def take(self, row: Record | BadRow) -> None:
        """Take one row: a verdict, or what is wrong with it."""
        if isinstance(row, BadRow):
            self.problems.extend(row.problems)
            return
        columns = self._columns_of(row.header)
        cells = {name: text_of(row.cells[i]).strip() for name, i in columns.items()}
        if not cells.get("verdict"):
            failed = [one for one in row.faults if one.column == columns.get("verdict")]
            self._add_faults(row, failed)
            self.lone_notes += bool(cells.get("note")) and not failed
            return
        if self._add_faults(row, [one for one in row.faults if one.column in columns.values()]):
            return
        self._take_verdict(row, cells)

    def _columns_of(self, header: Header) -> dict[str, int]:
        if id(header) not in self._columns:
            self._headers.append(header)  # so that no other one gets its id
            self._columns[id(header)] = _columns_of(header)
        return self._columns[id(header)]

    def _add_faults(self, row: Record, faults: list[CellFault]) -> bool:
        where = str(Where(file=row.header.file, row=row.row))
        for fault in faults:
            self.problems.append(Problem(f"{where}: {row.header.label(fault.column)}", fault.what))
        return bool(faults)

    def _take_verdict(self, row: Record, cells: Mapping[str, str]) -> None:
        where = str(Where(file=row.header.file, row=row.row))
        before = len(self.problems)
        job = self._job(cells.get("job", ""), where)
        word = _word(cells["verdict"])
        if word is None:
            hint = did_you_mean(cells["verdict"].casefold(), list(VerdictWord))
            what = f"{cells['verdict'][:60]!r} is not a verdict{hint or ';'} use {_WORDS}"
            self.problems.append(Problem(f"{where}: verdict", what))
        record = self.known.get(job) if job is not None else None
        latest = 1 if record is None else record.take
        take = _number(cells.get("take", ""), latest)
        if take is None or (job is not None and take > latest):
            what = f"{cells['take'][:60]!r} is not a take of this job; the latest is {latest}"
            self.problems.append(Problem(f"{where}: take", what))
        if len(self.problems) > before or job is None or word is None or take is None:
            return
        if take < latest:
            self.found.earlier += 1
            return
        self.found.verdicts.append(
            Verdict(
                ts=self.now,
                job=job,
                take=take,
                verdict=word,
                note=restore(cells.get("note", "")),
                submitted_at=(record.submitted_at or "") if record is not None else "",
            )
        )

    def _job(self, text: str, where: str) -> str | None:
        """Return the job of that name, which may be defused; None, and a problem, for no job."""
        for name in (text, restore(text)):
            if (job := canonical_text(name)) in self.known:
                return job
            if name in self.known:
                return name
        what = f"no job {text[:200]!r} in this batch; results.csv lists the jobs"
        self.problems.append(Problem(f"{where}: job", what if text else "a verdict without a job"))
        return None


def _word(text: str) -> VerdictWord | None:
    try:
        return VerdictWord(text.casefold())
    except ValueError:
        return None


def _number(text: str, latest: int) -> int | None:
    """Return the take that a cell names; the latest if it is empty, None if it is not a number."""
    if not text:
        return latest
    is_number = text.isascii() and text.isdigit() and len(text) < _TAKE_DIGITS
    return (int(text) or None) if is_number else None
