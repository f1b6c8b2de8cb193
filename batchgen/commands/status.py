"""`batchgen status`.

`status --watch`: where a batch stands, looked at again and again beside whoever works on it.

It takes no lock, not even for a moment: a run that began in that moment would be refused. Who is
at work is told by the lock file, and by whether that process lives.

`batchgen status --watch`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import msgspec

from batchgen.app.batch_ref import BatchRef, batch_ref_of
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.loading import LoadedBatch, load
from batchgen.app.open_batch import latest, open_at, place_of
from batchgen.app.run_directory import DatedRunDirectories, plain_directory
from batchgen.app.run_file import RUN_FILE
from batchgen.app.run_options import Flags, decide
from batchgen.app.signals import signals_heard
from batchgen.core.errors import BatchgenError, ManifestError, Terminated
from batchgen.core.plan import Policy
from batchgen.core.summary import LiveSummary, summarise
from batchgen.core.units import duration_text
from batchgen.ledger import LEDGER_NAME, follow, has_ledger
from batchgen.ledger.lock import at_work, work_sentence
from batchgen.reports.status_text import status_lines, summary_json
from batchgen.reports.terminal import visible
from batchgen.reports.watch_view import JsonLines, PlainLines, Screen, WatchFrame, WatchView
from batchgen.system.clock import SystemClock

IDLE_S = 10.0
"""No run at work for so long: then none is waited for any more."""
LOOKING_SHARE = 4
"""A look that takes long is followed by a pause of at least so many times as long."""


class StatusWatcher:
    """A batch that is looked at; to be closed after use (`with`)."""

    def __init__(self, target: BatchRef) -> None:
        """Reads the manifest. Raises what that raises only where there is no ledger either."""
        self._target = target
        self._clock = SystemClock()
        self._note = ""
        self._loaded: LoadedBatch | None = None
        try:
            self._place: DatedRunDirectories | Path = place_of(target)
        except BatchgenError as error:
            self._place = plain_directory(target)
            self._leave_out(error)
        self._run_dir = self._pick()
        self._holder = at_work(self._run_dir)
        self._seen = self._signs()
        if not self._note:
            self._load()
        self._begin_anew()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded is not None:
            self._loaded.spool.close()

    def look(self) -> WatchFrame:
        """Read what is new. Raises `LedgerError` or `LocalIOError`."""
        self._run_dir = self._pick()
        # Before the ledger is read: what one who has just left had written is in this look.
        holder = at_work(self._run_dir)
        self._holder = holder or self._holder
        signs = self._signs()
        if signs != self._seen:
            self._seen = signs
            self._load()
            self._begin_anew()
        elif not self._told.is_current:
            self._begin_anew()
        self._told.read_on()
        now_s = self._clock.now_s()
        return WatchFrame(
            run_dir=self._run_dir,
            summary=self._standing.summary,
            eta_s=self._standing.time_left_s(now_s),
            holder=None if holder is None else holder.as_json(),
            holder_text=NOBODY if holder is None else work_sentence(holder, now_s),
            now_s=now_s,
            left=self._standing.left,
            code=self._standing.exit_code,
            is_settled=self._is_settled,
            note=self._note,
        )

    @property
    def _is_settled(self) -> bool:
        """What ended badly is settled only if a run was seen to leave it so."""
        if self._standing.left or not has_ledger(self._run_dir):
            return False
        return self._holder is not None or self._standing.exit_code == 0

    def _pick(self) -> Path:
        return latest(self._place) if isinstance(self._place, DatedRunDirectories) else self._place

    def _signs(self) -> tuple[object, ...]:
        """What changes when a run begins, which reads the manifest anew, or keeps other flags."""
        try:
            kept = (self._run_dir / RUN_FILE).stat()
        except OSError:
            return self._run_dir, self._holder, None
        return self._run_dir, self._holder, kept.st_ino, kept.st_mtime_ns

    def _load(self) -> None:
        if self._target.manifest == "-" and self._loaded is not None:
            return  # what came through a pipe cannot be read again
        try:
            opened = open_at(self._target, self._run_dir)
            loaded = load(opened.manifest, opened.target, spool_dir=self._run_dir)
        except BatchgenError as error:
            if self._loaded is None:
                self._leave_out(error)
            return  # someone is saving it just now: the rows that were read before will do
        if self._loaded is not None:
            self._loaded.spool.close()
        self._loaded, self._note = loaded, ""

    def _leave_out(self, error: BatchgenError) -> None:
        if not has_ledger(self._pick()):
            raise error
        self._note = f"{self._target.manifest}: not readable; this is what the ledger alone knows"

    def _begin_anew(self) -> None:
        standing = self._standing = self._live_summary()
        self._told = follow(self._run_dir / LEDGER_NAME, lambda record, _: standing.take(record))

    def _live_summary(self) -> LiveSummary:
        if self._loaded is None:
            return LiveSummary(None)
        spool = self._loaded.spool
        try:
            policy = decide(Flags(), self._loaded.manifest.settings).policy
        except ManifestError:  # in `run:`, which stops a run and not a reader
            policy = Policy()
        rows = {job.id: job.fingerprint for job in spool.jobs()}
        return LiveSummary(rows, policy, invalid=spool.invalid)


NOBODY = "no run is at work"


async def watch(
    watched: StatusWatcher, show: Callable[[WatchFrame], None], *, every_s: float
) -> int:
    """Show every look until nobody is at work any more, or a signal comes; the exit code.

    Ended by itself, it is that of a run that ended like this; Ctrl-C is a viewer's usual end.
    """
    clock = SystemClock()
    idle_since_s = clock.monotonic_s()
    with signals_heard() as heard:
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, heard.event.set)
        while heard.number is None:
            begun_s = clock.monotonic_s()
            sight = watched.look()
            ended_s = clock.monotonic_s()
            if sight.holder is not None:
                idle_since_s = ended_s
            idle_left_s = idle_since_s + IDLE_S - ended_s
            if sight.holder is None and (sight.is_settled or idle_left_s <= 0):
                show(replace(sight, over=True))
                return sight.code
            show(sight)
            pause_s = max(every_s, LOOKING_SHARE * (ended_s - begun_s))
            may_wait_s = pause_s if sight.holder is not None else min(pause_s, idle_left_s)
            await clock.wait(heard.event, may_wait_s)
            heard.event.clear()
    return 0 if heard.number is signal.SIGINT else Terminated.exit_code


def follow_status(args: argparse.Namespace) -> int:
    """Show where a batch stands until nobody is at work any more; its exit code."""
    try:
        with StatusWatcher(batch_ref_of(args)) as watched, _shown(as_json=args.json) as shown:
            return asyncio.run(watch(watched, shown.show, every_s=args.watch_s))
    except KeyboardInterrupt:
        return 0  # while the manifest was read, before there was anything to see


def _shown(*, as_json: bool) -> WatchView:
    if as_json:
        return JsonLines()
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Screen() if is_terminal else PlainLines()


def handle(args: argparse.Namespace) -> int:
    """Say where a batch stands; beside a writer too."""
    if args.watch_s is not None:
        return follow_status(args)
    with read_snapshot(batch_ref_of(args)) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        run_dir, holder, now_s = history.run_dir, history.holder, history.now_s
        summary = summarise(row.record for row in history.rows() if not row.problems)
        left_s = history.eta_s(summary)
    if args.json:
        seen = {"eta_s": left_s, "at_work": None if holder is None else holder.as_json()}
        print(msgspec.json.encode({**summary_json(summary, None, ()), **seen}).decode())
        return 0
    for line in status_lines(summary, run_dir, now_s=now_s):
        print(visible(line))
    if left_s is not None:
        print(f"about {duration_text(left_s)} left at the pace of the last jobs")
    if holder is not None:
        print(work_sentence(holder, now_s))
    return 0
