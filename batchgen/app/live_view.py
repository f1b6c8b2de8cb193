"""Readings of a batch for `serve`: its cards, the jobs that verdicts may be about, its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import BatchSnapshot, read_rows, read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.result_files import encoded_card, last_news
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord
from batchgen.core.output_checks import Measure
from batchgen.core.summary import Summary
from batchgen.core.timeline import TimelineChart
from batchgen.reports.html_report import MAX_CARDS, href_of
from batchgen.reports.inspection import Inspection
from batchgen.reports.results_csv import ResultRow
from batchgen.reports.results_xlsx import PICTURE_PX
from batchgen.reports.thumbnails import Thumbnails
from batchgen.system.files import is_directly_in
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.loading import LoadedBatch
    from batchgen.app.open_batch import OpenBatch

MAX_AGE_S = 60.0
"""The seconds for which the rows of one reading may be used again."""


@dataclass(slots=True)
class View:
    """The result of one reading."""

    directory: RunDirectory
    summary: Summary = field(default_factory=Summary)
    news: str = ""
    """The sentence of the last run about what is new."""
    timeline: TimelineChart | None = None
    cards: list[bytes] = field(default_factory=list)
    records: dict[str, JobRecord | None] = field(default_factory=dict)
    """Every job that a verdict may be about."""
    files: dict[str, Path] = field(default_factory=dict)
    """Address in the page: the file."""
    roots: tuple[Path, ...] = ()
    """The directories in which files of the results can be."""

    def may_show(self, path: Path) -> bool:
        """Tell whether a path of the ledger is in a directory of outputs, and no link is in it."""
        if self.directory.keeps(path):
            return False
        return any(is_directly_in(root, path) for root in self.roots)

    def file(self, address: str) -> Path | None:
        """Return the file behind an address of the page; None if it may not be shown any more."""
        path = self.files.get(address)
        if path is None or not path.is_file():
            return None
        if path.parent == self.directory.thumbnails:
            return path if is_directly_in(self.directory.path, path) else None
        return path if self.may_show(path) else None


class ViewReader:
    """Reads a batch again and again, and keeps the rows of its manifest from one to the next.

    Reading the rows is half of the work, and they seldom change while a run goes on. They are read
    again if the manifest, the options of the run or its schemas have changed, and after `MAX_AGE_S`
    in any case, because a manifest can name other files. Rows that name local files are not kept.
    """

    def __init__(self, ref: BatchRef, context: CommandContext) -> None:
        self._ref, self._context = ref, context
        self._kept: LoadedBatch | None = None
        self._signs: tuple[object, ...] = ()
        self._read_at_s = 0.0

    def __call__(self) -> View:
        """Read the batch. Raises what reading it raises; called by one thread at a time."""
        try:
            snapshot = read_snapshot(self._ref, self._context, self._rows_of)
            return _view_of(snapshot)
        except BaseException:
            self.close()
            raise
        finally:
            if self._kept is not None and self._kept.has_assets:
                self.close()

    def close(self) -> None:
        """Let go of the rows."""
        if self._kept is not None:
            self._kept.spool.close()
            self._kept = None

    def _rows_of(self, batch: OpenBatch) -> LoadedBatch:
        now_s = self._context.clock.now_s()
        directory = batch.directory
        files = (Path(self._ref.manifest), directory.run_file, directory.schemas)
        signs = (directory.path, *map(sign_of, files))
        is_young = 0 <= now_s - self._read_at_s < MAX_AGE_S
        if self._kept is not None and is_young and signs == self._signs:
            return self._kept
        self.close()
        # The signs are older than the rows: a change in between is read again.
        self._signs, self._read_at_s = signs, now_s
        self._kept = read_rows(batch)
        return self._kept


def sign_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _view_of(snapshot: BatchSnapshot) -> View:
    roots = (snapshot.directory.path, *_output_dir(snapshot))
    view = View(snapshot.directory, roots=roots, news=last_news(snapshot.directory))
    reader = _RowTaker(view)
    for row in snapshot.rows():
        reader.take(row)
    return view


class _RowTaker:
    """One pass over the rows of a batch."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._pictures = Thumbnails(directory=view.directory, size_px=PICTURE_PX)
        self._hrefs: dict[str, str] = {}
        self._inspection = Inspection(self._measure)

    def take(self, row: ResultRow) -> None:
        """Count a row, and keep its card and its files."""
        view = self._view
        view.summary.count_row(row.record, is_invalid=bool(row.problems))
        if row.job and not row.problems:
            view.records[row.job] = row.record
        row = self._inspection.checked(row)
        if len(view.cards) < MAX_CARDS:
            view.cards.append(encoded_card(row, self._thumbnail, href=self._href))

    def _href(self, file: OutputFile) -> str:
        """Return the address of a file, empty if it may not be shown; looked up once for each."""
        if file.path not in self._hrefs:
            self._hrefs[file.path] = self._new_href(file)
        return self._hrefs[file.path]

    def _new_href(self, file: OutputFile) -> str:
        path = Path(os.path.normpath(self._view.directory.path / file.path))
        if "://" in file.path or not self._view.may_show(path):
            return ""
        is_below = path.is_relative_to(self._view.directory.path) and ".." not in file.path
        name = hashlib.sha256(file.path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        address = href_of(file) if is_below else f"file/{name}{quote(path.suffix)}"
        self._view.files[unquote(address)] = path
        return address

    def _measure(self, file: OutputFile) -> Measure:
        return self._pictures.measure(file) if self._href(file) else Measure()

    def _thumbnail(self, file: OutputFile) -> str | None:
        if not self._href(file) or (address := self._pictures.address(file)) is None:
            return None
        self._view.files[address] = self._view.directory.path / address
        return address


def _output_dir(snapshot: BatchSnapshot) -> Iterator[Path]:
    place = None if snapshot.loaded is None else snapshot.loaded.manifest.settings.output.dir
    if place and "://" not in place:
        yield Path(os.path.normpath(snapshot.directory.path / place))
