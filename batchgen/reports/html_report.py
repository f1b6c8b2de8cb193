"""report.html: the page to look at, which works from disk without network.

Everything in it comes from outside: prompts, ids, remote errors. It stands in the page as JSON that
no parser takes for HTML, and the script sets texts as texts. The page's policy allows its own
script and style, by their digests, and nothing from other hosts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from batchgen.core.events import ErrorKind, OutputFile
from batchgen.core.jobs import Wait
from batchgen.core.lifecycle import JobState
from batchgen.core.media_types import kind_of_file
from batchgen.core.timeline import TimelineChart
from batchgen.reports.results_csv import INVALID, ResultRow, TakeRow, result_cells
from batchgen.system.files import replace_file

MAX_CARDS = 20_000
"""A browser gets slow with more; results.csv has all of them."""

_BUCKETS = frozenset({"s3", "gs", "az"})

_ADVICE = {
    ErrorKind.REFUSED: "Nothing was paid. Change the row, then run again.",
    ErrorKind.GENERATION: "batchgen retry makes these jobs eligible for one more attempt.",
    ErrorKind.CONTENT: "The content rules of the API refused it; the same prompt will fail again.",
    ErrorKind.EXPIRED: "The API no longer knows the request: look at Generations on runcomfy.com.",
    ErrorKind.NO_OUTPUT: "It was reported as a success without a file; batchgen retry tries again.",
    ErrorKind.LOST_ANSWER: "It may have been paid for: look at Generations on runcomfy.com, then"
    " batchgen resolve, or batchgen run --in-doubt resubmit.",
    ErrorKind.CRASH: "It may have been paid for: look at Generations on runcomfy.com, then"
    " batchgen resolve, or batchgen run --in-doubt resubmit.",
    ErrorKind.DAMAGED: "Its line in the ledger could not be read: look at Generations on"
    " runcomfy.com, then batchgen resolve.",
    ErrorKind.INPUT_GONE: "Nothing was paid. Generate what it is made from once more (redo).",
    ErrorKind.NOT_ACCEPTED: "Nothing was paid. The next batchgen run submits it.",
}
"""Advice for each kind of failure, for the list of causes."""

Href = Callable[[OutputFile], str | None]
"""An address of a file or of its thumbnail, as the page needs it; empty or None: only named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The texts of the page beside its cards."""

    title: str
    facts: str
    """The state of the batch, in one sentence."""
    news: str = ""
    """What was new at the end of the last run, in one sentence."""
    figures: str = ""
    """How long jobs took."""
    timeline: TimelineChart | None = None
    batch_id: str
    """The name under which the browser keeps marks."""
    total: int
    """The number of jobs, also of those that are not shown."""
    version: int = 0
    """The version of a page that follows the ledger over `batchgen serve`; 0 for a file."""

    @property
    def is_live(self) -> bool:
        """True for a page that follows the ledger."""
        return self.version > 0


def write_page(path: Path, page: Page, cards: Sequence[bytes]) -> None:
    """Replace the page. Raises `LocalIOError`."""
    replace_file(path, lambda file: file.writelines(page_parts(page, cards)))


def page_parts(page: Page, cards: Sequence[bytes]) -> Iterable[str]:
    """Yield the text of the page in parts. `cards` are those of `card_of`, encoded."""
    style, script = _asset("report.css"), _asset("report.js")
    hidden = max(0, page.total - len(cards))
    values = {
        "policy": _policy(style, script, is_live=page.is_live),
        "title": escape(page.title),
        "facts": escape(page.facts),
        "news": escape(page.news),
        "figures": escape(page.figures),
        "hidden": f"{hidden:,} more in results.csv." if hidden else "",
        "style": style,
        "script": script,
    }
    for part in _asset("report.html").split("{{"):
        name, found, rest = part.partition("}}")
        if not found:
            yield part
            continue
        if name == "data":
            yield from _data(page, cards)
        else:
            yield values[name]
        yield rest


def _policy(style: str, script: str, *, is_live: bool) -> str:
    connect = "'self'" if is_live else "'none'"
    return (
        "default-src 'none'; img-src 'self' file: data:; media-src 'self' file: data:;"
        f" style-src '{_digest(style)}'; script-src '{_digest(script)}';"
        f" connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return files("batchgen.reports").joinpath("page", name).read_text(encoding="utf-8")


def _data(page: Page, cards: Sequence[bytes]) -> Iterable[str]:
    head = {
        "id": page.batch_id,
        "live": page.is_live,
        "version": page.version,
        "states": [*(state.value for state in JobState if state is not JobState.UNKNOWN), INVALID],
        "timeline": page.timeline,
        "advice": {kind.value: text for kind, text in _ADVICE.items()},
    }
    yield inert(msgspec.json.encode(head)[:-1] + b',"jobs":[')
    for n, card in enumerate(cards):
        yield ("," if n else "") + inert(card)
    yield "]}"


def inert(data: bytes) -> str:
    """Return JSON in which no parser of HTML finds a tag or a comment."""
    return data.replace(b"<", b"\\u003c").decode("utf-8", "replace")


def batch_id(run_dir: Path) -> str:
    """Return a name for the marks of one run directory, which does not tell where it is."""
    return hashlib.sha256(str(run_dir.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[
        :16
    ]


def no_thumbnail(_: OutputFile) -> None:
    """Return no address: the page shows the files themselves."""
    return


def card_of(
    row: ResultRow, *, href: Href | None = None, thumbnail: Href = no_thumbnail
) -> dict[str, Any]:
    """Return what the page shows of one job."""
    cells, record = result_cells(row), row.record
    address = href or href_of
    return {
        "job": row.job,
        "state": cells["state"],
        "prompt": _prompt(row),
        "columns": dict(row.columns),
        "model": (record.model if record is not None else None) or row.model,
        "step": cells["step"],
        "before": row.before,
        "from": [[one.of, one.n, one.i] for one in record.made_from] if record else [],
        "waits": _WAITS[row.wait].format(row.before) if row.wait and not cells["error"] else "",
        "error": cells["error"],
        "kind": record.error.kind if record is not None and record.error else "",
        "checks": cells["checks"],
        "attempts": cells["attempts"],
        "cost": record.total_cost_usd if record is not None else 0.0,
        "request": cells["request_id"],
        "finished": cells["finished_at"],
        "takes": [_card_take(take, address, thumbnail) for take in row.takes or _only(row)],
    }


_WAITS = {
    Wait.STEP: "waits for {}",
    Wait.REVIEW: "waits for your review of {}",
    Wait.LATER_REVIEW: "waits for {}, then for your review",
    Wait.FAILED: "waits for {}",
    Wait.UNWANTED: "{} was rejected",
}


def _only(row: ResultRow) -> tuple[TakeRow, ...]:
    return () if row.take is None else (row.take,)


def _prompt(row: ResultRow) -> str:
    named = {name.strip().lower(): cell for name, cell in row.columns.items()}
    return named.get("prompt") or next((cell for cell in row.columns.values() if cell), row.job)


def _card_take(take: TakeRow, href: Href, thumbnail: Href) -> dict[str, Any]:
    return {
        "take": take.take,
        "state": take.state,
        "cost": take.cost_usd,
        "submitted": take.submitted_at or "",
        "verdict": take.verdict,
        "note": take.note,
        "at": take.verdict_at,
        "files": [_card_file(file, href, thumbnail) for file in take.files],
    }


def _card_file(file: OutputFile, href: Href, thumbnail: Href) -> dict[str, Any]:
    kind = kind_of_file(file.path)
    name = file.path.rpartition("/")[2]
    small = thumbnail(file) if kind == "image" else None
    card = {"href": href(file), "name": name, "kind": kind, "bytes": file.bytes}
    return card | ({"thumb": small} if small else {})


def href_of(file: OutputFile) -> str:
    """Return the address of a file for a page in the run directory."""
    scheme, _, rest = file.path.partition("://")
    # Elsewhere no colon is left, so that it is a path and not an address.
    return f"{scheme}://{quote(rest)}" if rest and scheme in _BUCKETS else quote(file.path)
