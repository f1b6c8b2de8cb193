"""The views of a watched batch: a screen on a terminal, lines for a log, JSON for a program."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from batchgen.core.exit_codes import reason_texts
from batchgen.core.summary import Summary
from batchgen.core.units import count_text, duration_text
from batchgen.reports.status_text import state_phrases, status_lines, summary_json
from batchgen.reports.terminal import TextStream, json_line, visible

LINE_EVERY_S = 60.0
USUAL_SIZE = os.terminal_size((80, 24))
"""Taken if a terminal does not know its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFrame:
    """The state of a batch at one moment."""

    run_dir: Path
    summary: Summary
    eta_s: float | None
    holder: Mapping[str, object] | None
    """The process that runs the batch, with the keys of `status --json`; None: no process."""
    holder_text: str
    """The same as a sentence."""
    now_s: float
    left: int
    """Jobs that a run still has to do something about."""
    code: int
    """The exit code of a run that ended like this."""
    is_settled: bool
    """Nothing more is expected; otherwise a run may begin, or begin again, at any moment."""
    note: str = ""
    over: bool = False
    """No run is at work any more: this is the last frame."""

    @property
    def content(self) -> tuple[Path, Summary, Mapping[str, object] | None, bool]:
        """The part that counts as a change, so not the time."""
        return self.run_dir, self.summary, self.holder, self.over


class WatchView:
    """A view that is shown frame by frame (`with` undoes what it did to the terminal)."""

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream
        self._last: WatchFrame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Undo what was done to the terminal."""

    def show(self, frame: WatchFrame) -> None:
        """Show a frame; called for each, whether anything changed or not."""
        raise NotImplementedError

    def _print(self, *lines: str) -> None:
        for line in lines:
            self._stream.write(f"{visible(line)}\n")
        self._stream.flush()


class JsonLines(WatchView):
    """A line of JSON for each change."""

    def show(self, frame: WatchFrame) -> None:
        """Print the keys of `status --json`; the last line also says how it ended."""
        if self._last is not None and self._last.content == frame.content:
            return
        self._last = frame
        code = frame.code if frame.over else None
        reasons = () if code is None else reason_texts((), code)
        found = summary_json(frame.summary, code, reasons)
        found |= {"eta_s": frame.eta_s, "at_work": frame.holder, "over": frame.over}
        self._stream.write(json_line(found, self._stream.encoding) + "\n")
        self._stream.flush()


class PlainLines(WatchView):
    """A line for each change, at most one per minute; another process is printed at once."""

    def show(self, frame: WatchFrame) -> None:
        """Print lines without control codes, as for a log."""
        last = self._last
        if last is None and frame.note:
            self._print(frame.note)
        if frame.over:
            self._print(*_page(frame), _ending(frame))
        elif last is None or last.holder != frame.holder or last.run_dir != frame.run_dir:
            self._print(_line(frame), frame.holder_text)
        elif last.content != frame.content and frame.now_s - last.now_s >= LINE_EVERY_S:
            self._print(_line(frame))
        else:
            return
        self._last = frame


class Screen(WatchView):
    """A page that is drawn again and again in the terminal's alternate screen.

    That screen is neither scrolled nor wrapped, so a window that changes its size leaves no broken
    lines. Afterwards the terminal is as it was, with the last state below the prompt.
    """

    _OPEN = "\x1b[?1049h\x1b[?25l\x1b[?7l"
    _CLOSE = "\x1b[?7h\x1b[?25h\x1b[?1049l"

    def __enter__(self) -> Self:
        self._stream.write(self._OPEN)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the terminal and print the last state."""
        self._stream.write(self._CLOSE)
        if self._last is not None:
            end = _ending(self._last) if self._last.over else self._last.holder_text
            self._print(*_page(self._last), end)

    def show(self, frame: WatchFrame) -> None:
        """Draw the page in one write, each line over the old one, so that nothing flickers."""
        self._last = frame
        footer = ("", frame.holder_text, "", "Ctrl-C ends only this view.")
        lines = [visible(line) for line in (*_page(frame), *footer)]
        drawn = "\x1b[K\n".join(lines[: self._terminal_lines() - 1])
        self._stream.write(f"\x1b[H{drawn}\x1b[J")
        self._stream.flush()

    def _terminal_lines(self) -> int:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:
            size = USUAL_SIZE
        return size.lines if size.lines and size.columns else USUAL_SIZE.lines


def _page(frame: WatchFrame) -> Iterator[str]:
    """Yield everything that `status` prints."""
    yield f"{frame.run_dir}, {_time(frame)}"
    if frame.note:
        yield frame.note
    yield from status_lines(frame.summary, frame.run_dir, now_s=frame.now_s)
    if frame.eta_s is not None and not frame.over:
        yield f"about {duration_text(frame.eta_s)} left at the pace of the last jobs"


def _line(frame: WatchFrame) -> str:
    left = "" if frame.eta_s is None else f", about {duration_text(frame.eta_s)} left"
    phrases = ", ".join(state_phrases(frame.summary))
    return f"{_time(frame)}  {count_text(frame.summary.jobs, 'job')}: {phrases}{left}"


def _ending(frame: WatchFrame) -> str:
    """Return how it ended, as far as ledger and manifest tell."""
    if frame.left or not frame.summary.jobs:
        return f"no run is at work; {count_text(frame.left, 'job')} left for the next one"
    how = "some jobs ended badly or are in doubt" if frame.code else "every job ended well"
    return f"no run is at work; nothing is left to do, {how}"


def _time(frame: WatchFrame) -> str:
    return f"{datetime.fromtimestamp(frame.now_s).astimezone():%H:%M:%S}"
