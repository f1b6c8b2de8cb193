"""report.html: the page to look at, which works from disk without network.

Everything in it comes from outside: prompts, ids, remote errors. The template escapes all of it,
and the page forbids itself scripts and addresses of other hosts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from batchgen.core.events import OutputFile
from batchgen.reports.results_csv import ResultRow, result_cells
from batchgen.system.files import replace_file

if TYPE_CHECKING:
    from jinja2 import Template


MAX_CARDS = 2_000
"""A browser gets slow with more; results.csv has all of them."""

Card = dict[str, object]
"""What the template shows of one job."""

_IMAGES = frozenset({"png", "jpg", "webp", "gif", "avif", "bmp"})
_DRAWINGS = frozenset({"svg"})
"""Pictures that may hold scripts: shown as an image, which runs none, and never opened."""
_VIDEOS = frozenset({"mp4", "webm", "mov"})
_KINDS = {"image": _IMAGES, "drawing": _DRAWINGS, "video": _VIDEOS}
"""Files that a page shows. All others can be downloaded only: as a document, an HTML, XML or PDF
file would run without the page's rules."""
_BUCKETS = frozenset({"s3", "gs", "az"})


def write_report(path: Path, *, title: str, facts: str, cards: Iterable[Card], total: int) -> None:
    """Replace the page, which shows no more than `MAX_CARDS`. Raises `LocalIOError`."""
    hidden = max(0, total - MAX_CARDS)
    page = _template().generate(
        title=title, facts=facts, cards=islice(cards, MAX_CARDS), hidden=hidden
    )
    replace_file(path, lambda file: file.writelines(page))


@cache
def _template() -> Template:
    from jinja2 import Environment

    source = files("batchgen.reports").joinpath("report.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source)


def card_of(row: ResultRow) -> Card:
    """Return what the template shows of one job."""
    cells = result_cells(row)
    return {
        "job": row.job,
        "state": cells["state"],
        "text": _text(row),
        "error": cells["error"],
        "files": [_card_file(file) for file in (row.shown.files if row.shown else ())],
    }


def _text(row: ResultRow) -> str:
    named = {name.strip().lower(): cell for name, cell in row.columns.items()}
    return named.get("prompt") or next((cell for cell in row.columns.values() if cell), row.job)


def _card_file(file: OutputFile) -> dict[str, str]:
    extension = file.path.rpartition(".")[2].lower()
    kind = next((kind for kind, known in _KINDS.items() if extension in known), "file")
    name = file.path.rpartition("/")[2]
    scheme, _, rest = file.path.partition("://")
    # Elsewhere no colon is left, so that it is a path and not an address.
    href = f"{scheme}://{quote(rest)}" if rest and scheme in _BUCKETS else quote(file.path)
    return {"href": href, "name": name, "kind": kind}
