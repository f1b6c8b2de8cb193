"""The targets of news: who is told that a run begins, and how it ended.

Each target works on a thread of its own, and none is waited for longer than the time that is left:
a monitor that hangs may not keep a run from its end.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from batchgen.news.metrics_file import RunMetrics, write_metrics
from batchgen.news.notification import ExtraMissing, notify, require_apprise
from batchgen.news.ping import START, ping

TOTAL_S = 10.0
"""The time that all news together may take."""
PER_CALL_S = 5.0
PROBLEM, ALWAYS = "problem", "always"
_QUERY = re.compile(r"(https?://[^\s?#]+)[?#]\S+")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNews:
    """What is told about the end of a run."""

    title: str
    lines: tuple[str, ...]
    metrics: RunMetrics
    picture: Callable[[], Path | None] = lambda: None
    """Makes the contact sheet; None if there is none."""

    @property
    def text(self) -> str:
        """The lines as one text, with no signed address in it."""
        return _QUERY.sub(r"\1", "\n".join(self.lines))


@dataclass(slots=True, kw_only=True)
class NewsTargets:
    """The targets of one command. `begin` when it begins, `end` when it has ended."""

    ping: str | None = None
    notify: str | None = None
    notify_on: str = PROBLEM
    metrics_file: str | None = None
    say: Say
    """Prints one line for each failure."""
    redact: Callable[[str], str] = lambda text: text
    """Takes the token out of a text."""
    monotonic_s: Callable[[], float]
    _start: _Call | None = field(default=None, init=False)

    def begin(self) -> None:
        """Tell the monitor that a run begins; waits for nothing."""
        if self.ping:
            address = self.ping
            self._start = _Call(lambda: ping(address, START, "", timeout_s=PER_CALL_S))
        if self.notify:
            try:
                require_apprise()
            except ExtraMissing as missing:
                self.say(f"--notify: {missing}")
                self.notify = None

    def end(self, news: RunNews, *, left_s: float = TOTAL_S) -> None:
        """Tell every target how the run ended, within that time. Never raises."""
        until_s = self.monotonic_s() + min(left_s, TOTAL_S)
        code = news.metrics.exit_code
        if self.metrics_file and (why := write_metrics(Path(self.metrics_file), news.metrics)):
            self.say(f"--metrics-file: {why}")
        text = self.redact(news.text)
        calls = []
        if self.ping:
            # The monitor measures the time in between, so the beginning comes first.
            self._finish("--ping", self.ping, self._start, until_s)
            calls.append(("--ping", self.ping, self._end_ping(code, text, until_s)))
        if self.notify and (code != 0 or self.notify_on == ALWAYS):
            calls.append(("--notify", self.notify, self._notification(news, text)))
        for flag, address, call in calls:
            self._finish(flag, address, call, until_s)

    def _end_ping(self, code: int, text: str, until_s: float) -> _Call:
        address, event = self.ping or "", "" if code == 0 else str(code)
        left_s = max(0.1, min(PER_CALL_S, until_s - self.monotonic_s()))
        return _Call(lambda: ping(address, event, text, timeout_s=left_s))

    def _notification(self, news: RunNews, text: str) -> _Call:
        addresses, title = self.notify or "", self.redact(news.title)
        is_good = news.metrics.exit_code == 0
        return _Call(
            lambda: notify(addresses, title, text, picture=news.picture(), is_good=is_good)
        )

    def _finish(self, flag: str, address: str, call: _Call | None, until_s: float) -> None:
        if call is None:
            return
        why = call.result(max(0.0, until_s - self.monotonic_s()))
        if why:
            self.say(f"{flag}: {shown(flag, address)}: {why}")


def shown(flag: str, address: str) -> str:
    """Return what may be shown of an address: no user, path or query.

    Of an address of Apprise it is the scheme alone, because what follows is often a key.
    """
    scheme = address.partition("://")[0] if "://" in address else ""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme):
        return "the address"
    if flag == "--notify":
        return f"{scheme}://…"
    try:
        url = URL(address)
        host, port = url.host or "", url.explicit_port
    except ValueError:
        return "the address"
    return f"{scheme}://{host}" + (f":{port}" if port else "")


class _Call:
    """One call on a thread that nobody has to wait for."""

    def __init__(self, work: Callable[[], str]) -> None:
        self._work = work
        self._why = "no answer in time"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._why = self._work()
        except Exception as error:  # noqa: BLE001 - news may not end a run, whatever a library does
            self._why = f"{type(error).__name__} in the library that sends it"

    def result(self, timeout_s: float) -> str:
        """Return why the call failed, or "" ; after that time it counts as failed."""
        self._thread.join(timeout_s)
        return "no answer in time" if self._thread.is_alive() else self._why
