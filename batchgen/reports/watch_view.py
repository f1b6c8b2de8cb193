"""How a watched batch is shown: a screen for a person, lines for a log, JSON for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from batchgen.core.summary import Summary
from batchgen.core.units import count_text, duration_text
from batchgen.reports.status_text import state_phrases, status_lines, summary_json
from batchgen.reports.terminal import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFrame:
    """What was seen in one look."""

    run_dir: Path
    summary: Summary
    eta_s: float | None
    holder: Mapping[str, object] | None
    """The process that runs the batch, with the keys of `status --json`; None: no process."""
    holder_text: str
    """The same as a sentence."""
    now_s: float
    left: int
    code: int
    """What a run that ended like this would say."""
    is_settled: bool
    """Nothing more is to be expected; else a run may begin, or begin again, at any moment."""
    note: str = ""
    over: bool = False
    """Nobody is at work any more: this is the last look."""

    @property
    def gist(self) -> tuple[Path, Summary, Mapping[str, object] | None, bool]:
        """What makes it differ from another sight, apart from the time."""
        return self.run_dir, self.summary, self.holder, self.over


LINE_EVERY_S = 60.0
USUAL_SIZE = os.terminal_size((80, 24))
"""Of a terminal that does not know its own."""


class WatchView(Protocol):
    """Somewhere to show it; what it did to a terminal is undone at the end (`with`)."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...  # fmt: skip

    def show(self, sight: WatchFrame) -> None:
        """One look; called for each, whether anything changed or not."""
        ...


class JsonLines:
    """A line of JSON for each change."""

    def __init__(self) -> None:
        self._last: WatchFrame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def show(self, sight: WatchFrame) -> None:
        """The same keys as `status --json`; the last line says how it ended."""
        if self._last is not None and self._last.gist == sight.gist:
            return
        self._last = sight
        found = summary_json(sight.summary, sight.code if sight.over else None, ())
        found |= {"eta_s": sight.eta_s, "at_work": sight.holder, "over": sight.over}
        print(msgspec.json.encode(found).decode(), flush=True)


class PlainLines:
    """A line for each change, at most one a minute; who comes and goes is said at once."""

    def __init__(self) -> None:
        self._last: WatchFrame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def show(self, sight: WatchFrame) -> None:
        """Without control codes: it goes to a log."""
        last = self._last
        if last is None and sight.note:
            _print(sight.note)
        if sight.over:
            _print(*_page(sight), _ending(sight))
        elif last is None or last.holder != sight.holder or last.run_dir != sight.run_dir:
            _print(_line(sight), sight.holder_text)
        elif last.gist != sight.gist and sight.now_s - last.now_s >= LINE_EVERY_S:
            _print(_line(sight))
        else:
            return
        self._last = sight


class Screen:
    """A page that is drawn over and over in the terminal's second screen.

    That screen is never scrolled or wrapped, so a window that changes its size leaves nothing
    crooked; and afterwards the terminal is as it was, with the last state below the prompt.
    """

    _OPEN = "\x1b[?1049h\x1b[?25l\x1b[?7l"
    _CLOSE = "\x1b[?7h\x1b[?25h\x1b[?1049l"

    def __init__(self) -> None:
        self._last: WatchFrame | None = None

    def __enter__(self) -> Self:
        sys.stdout.write(self._OPEN)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write(self._CLOSE)
        if self._last is not None:
            end = _ending(self._last) if self._last.over else self._last.holder_text
            _print(*_page(self._last), end)

    def show(self, sight: WatchFrame) -> None:
        """In one write, each line over the old one: nothing flickers."""
        self._last = sight
        lines = [
            *_page(sight),
            "",
            sight.holder_text,
            "",
            "Ctrl-C ends this view, and nothing else.",
        ]
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            size = USUAL_SIZE
        if not (size.lines and size.columns):
            size = USUAL_SIZE
        drawn = "\x1b[K\n".join(visible(line) for line in lines[: size.lines - 1])
        sys.stdout.write(f"\x1b[H{drawn}\x1b[J")
        sys.stdout.flush()


def _print(*lines: str) -> None:
    for line in lines:
        print(visible(line))
    sys.stdout.flush()


def _page(sight: WatchFrame) -> Iterator[str]:
    """Everything that `status` says."""
    yield f"{sight.run_dir}, {_clock(sight)}"
    if sight.note:
        yield sight.note
    yield from status_lines(sight.summary, sight.run_dir, now_s=sight.now_s)
    if sight.eta_s is not None and not sight.over:
        yield f"about {duration_text(sight.eta_s)} left at the pace of the last jobs"


def _line(sight: WatchFrame) -> str:
    left = "" if sight.eta_s is None else f", about {duration_text(sight.eta_s)} left"
    phrases = ", ".join(state_phrases(sight.summary))
    return f"{_clock(sight)}  {count_text(sight.summary.jobs, 'job')}: {phrases}{left}"


def _ending(sight: WatchFrame) -> str:
    """How it ended, as far as a look can tell."""
    if sight.left or not sight.summary.jobs:
        return f"no run is at work; {count_text(sight.left, 'job')} left for the next one"
    how = "some jobs ended badly or are in doubt" if sight.code else "every job ended well"
    return f"no run is at work; nothing is left to do, {how}"


def _clock(sight: WatchFrame) -> str:
    return f"{datetime.fromtimestamp(sight.now_s).astimezone():%H:%M:%S}"
