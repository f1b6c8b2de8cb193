"""The files that people read after a run: results.csv, results.xlsx and report.html."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from batchgen.app.ledger_timeline import LedgerTimeline
from batchgen.app.result_rows import add_row
from batchgen.core.errors import UsageError
from batchgen.core.history import durations
from batchgen.core.summary import Summary
from batchgen.core.timeline import TimelineChart
from batchgen.core.units import count_text, duration_text
from batchgen.ledger.history_file import last_run
from batchgen.reports.contact_sheet import write_contact_sheet
from batchgen.reports.embedded_files import EmbeddedFiles
from batchgen.reports.html_report import (
    MAX_CARDS,
    Href,
    Page,
    batch_id,
    card_of,
    no_thumbnail,
    write_page,
)
from batchgen.reports.inspection import Inspection
from batchgen.reports.results_csv import ResultRow, write_results
from batchgen.reports.results_xlsx import MAX_ROWS, PICTURE_PX, write_workbook
from batchgen.reports.status_text import state_phrases
from batchgen.reports.thumbnails import Thumbnails, picture_of
from batchgen.system.run_directory import RunDirectory

WORKBOOK_S = 30.0
"""Time at the end of a run for thumbnails; `report` takes as long as it needs."""


def write_result_files(
    directory: RunDirectory,
    columns: Sequence[str],
    rows: Iterable[ResultRow],
    *,
    has_time: Callable[[], bool] = lambda: True,
    news: Callable[[Summary], str] = lambda _: "",
    outages: tuple[tuple[float, float], ...] = (),
) -> Summary:
    """Write all files in one pass, and return the totals. Raises `LocalIOError`.

    The workbook is left as it is if there are more rows than `MAX_ROWS`. Thumbnails are made for
    as long as `has_time` says. `news` gives the sentence of the page about what is new; it is
    called once every row was read. `outages` are those of a run that ends now, in seconds since
    1970.
    """
    summary = Summary()
    kept: list[ResultRow] = []
    pictures = Thumbnails(directory=directory, size_px=PICTURE_PX, has_time=has_time)
    inspection = Inspection(pictures.measure)

    def counted() -> Iterator[ResultRow]:
        for row in map(inspection.checked, rows):
            add_row(summary, row)
            if len(kept) < MAX_CARDS:
                kept.append(row)
            yield row

    write_results(directory.results, columns, counted())
    cards = [encoded_card(row, pictures.address) for row in kept]
    chart = LedgerTimeline(directory).chart(outages) if summary.jobs <= MAX_CARDS else None
    page = page_about(directory, summary, news=news(summary), timeline=chart)
    write_page(directory.page, page, cards)
    if summary.jobs <= MAX_ROWS:
        _write_workbook(directory, columns, kept, pictures)
    return summary


def page_about(
    directory: RunDirectory,
    summary: Summary,
    *,
    news: str = "",
    timeline: TimelineChart | None = None,
    live_version: int = 0,
) -> Page:
    """Return what the page of this batch says beside its cards."""
    return Page(
        title=directory.title,
        facts=facts_of(summary),
        news=news,
        figures=figures_of(summary),
        timeline=timeline,
        batch_id=batch_id(directory.path),
        total=summary.jobs,
        version=live_version,
    )


def facts_of(summary: Summary) -> str:
    """Return what became of the jobs, in one sentence."""
    return f"{count_text(summary.jobs, 'job')}: {', '.join(state_phrases(summary))}"


def figures_of(summary: Summary) -> str:
    """Return how long jobs took; empty if none has ended well."""
    times = durations(summary).items()
    return " · ".join(f"{name} {duration_text(s)}" for name, s in times if s is not None)


def last_news(directory: RunDirectory) -> str:
    """Return what the last run said was new; empty if no run has ended."""
    past = last_run(directory)
    return "" if past is None else past.sentence


def encoded_card(
    row: ResultRow, thumbnail: Href = no_thumbnail, *, href: Href | None = None
) -> bytes:
    """Return the card of one job as JSON."""
    return msgspec.json.encode(card_of(row, href=href, thumbnail=thumbnail))


def write_results_workbook(
    directory: RunDirectory,
    columns: Sequence[str],
    rows: Iterable[ResultRow],
) -> int:
    """Write results.xlsx, and return how many rows did not fit. Raises `LocalIOError`."""
    pictures = Thumbnails(directory=directory, size_px=PICTURE_PX)
    checked = map(Inspection(pictures.measure).checked, rows)
    return _write_workbook(directory, columns, checked, pictures)


def _write_workbook(
    directory: RunDirectory,
    columns: Sequence[str],
    rows: Iterable[ResultRow],
    pictures: Thumbnails,
) -> int:
    """Write rows that were inspected."""
    summary = Summary()

    def counted() -> Iterator[ResultRow]:
        for row in rows:
            add_row(summary, row)
            yield row

    def facts() -> Iterator[tuple[str, str | float]]:
        yield "batch", directory.title
        yield "jobs", summary.jobs
        for state, count in sorted(summary.states.items()):
            yield f"jobs {state.value}", count
        if summary.invalid:
            yield "jobs invalid", summary.invalid
        yield "files", summary.files
        yield "cost in USD", round(summary.cost_usd, 6)
        for (kind, message), count in summary.errors.most_common(_SHOWN_ERRORS):
            yield f"{count:,} {kind}", message

    return write_workbook(
        directory.workbook, columns, counted(), summary=facts, picture_of=pictures
    )


_SHOWN_ERRORS = 50


def write_sheet(directory: RunDirectory, rows: Iterable[ResultRow], path: Path) -> int:
    """Write the contact sheet of these rows; return how many pictures are on it.

    Raises `UsageError` for a file that is an output itself, and `LocalIOError`.
    """
    summary = Summary()
    pictures: list[tuple[str, Path]] = []
    for row in rows:
        add_row(summary, row)
        _refuse_output(directory, row, path)
        if (picture := picture_of(row, directory.path)) is not None:
            pictures.append((row.job, directory.path / picture.path))
    facts = ", ".join(state_phrases(summary))
    return write_contact_sheet(path, pictures, title=directory.title, facts=facts)


def write_standalone(directory: RunDirectory, rows: Iterable[ResultRow], path: Path) -> int:
    """Write the page with everything in it into one file; return how many files are in it.

    Raises `UsageError` for a file that is an output itself, and `LocalIOError`.
    """
    summary, kept = Summary(), list[ResultRow]()
    inspection = Inspection(Thumbnails(directory=directory, size_px=PICTURE_PX).measure)
    for row in map(inspection.checked, rows):
        add_row(summary, row)
        _refuse_output(directory, row, path)
        if len(kept) < MAX_CARDS:
            kept.append(row)
    files = sum(len(take.files) for row in kept for take in row.takes)
    embedded = EmbeddedFiles(run_dir=directory.path, files=files)
    cards = [encoded_card(row, href=embedded.address) for row in kept]
    chart = LedgerTimeline(directory).chart() if summary.jobs <= MAX_CARDS else None
    page = page_about(directory, summary, news=last_news(directory), timeline=chart)
    write_page(path, page, cards)
    return embedded.count


def _refuse_output(directory: RunDirectory, row: ResultRow, path: Path) -> None:
    place = os.path.realpath(path)
    files = (file.path for take in row.takes for file in take.files)
    if any(os.path.realpath(directory.path / name) == place for name in files):
        raise UsageError(f"{path} is an output of this batch; name another file")
