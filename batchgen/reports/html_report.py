"""report.html: one page to look at, that works from disk without network.

Everything in it comes from outside: prompts, ids, remote errors. The template escapes all of it,
and the page forbids itself scripts and foreign addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from batchgen.core.events import OutputFile
from batchgen.reports.results_csv import ResultRow, our_cells
from batchgen.system.files import replace_file

if TYPE_CHECKING:
    from jinja2 import Template


REPORT_NAME = "report.html"
MAX_CARDS = 2_000
"""A browser shows no more with pleasure; results.csv has them all."""

_IMAGES = frozenset({"png", "jpg", "webp", "gif", "avif", "svg", "bmp"})
_VIDEOS = frozenset({"mp4", "webm", "mov"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One output on the page."""

    href: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One job on the page."""

    job: str
    state: str
    text: str
    error: str
    files: tuple[Shot, ...]


def write_report(
    path: Path, *, title: str, facts: str, rows: Iterable[ResultRow], total: int
) -> None:
    """Replace the page at once. Raises `LocalIOError`."""
    cards = (_card(row) for row in islice(rows, MAX_CARDS))
    hidden = max(0, total - MAX_CARDS)
    page = _template().stream(title=title, facts=facts, cards=cards, hidden=hidden)
    replace_file(path, lambda file: file.writelines(_pieces(page)))


def _pieces(page: Iterable[str]) -> Iterator[str]:
    yield from page


@cache
def _template() -> Template:
    from jinja2 import Environment

    source = files("batchgen.reports").joinpath("report.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source)


def _card(row: ResultRow) -> Card:
    cells = our_cells(row)
    shown = row.record.files if row.record else ()
    return Card(
        job=row.job,
        state=cells[1],
        text=_text(row),
        error=cells[7],
        files=tuple(_shot(file) for file in shown),
    )


def _text(row: ResultRow) -> str:
    named = {name.strip().lower(): cell for name, cell in row.columns.items()}
    return named.get("prompt") or next((cell for cell in row.columns.values() if cell), row.job)


def _shot(file: OutputFile) -> Shot:
    ending = file.path.rpartition(".")[2].lower()
    kind = "image" if ending in _IMAGES else "video" if ending in _VIDEOS else "file"
    return Shot(href=quote(file.path, safe="/:"), name=file.path.rpartition("/")[2], kind=kind)
