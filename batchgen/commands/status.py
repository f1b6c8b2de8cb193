"""`batchgen status`: counts by state, cost, time left and failures by cause; `--watch` repeats it.

Reading takes no lock, not even for a moment: a run that began in that moment would be refused.
Which process runs the batch is read from the lock file, as long as that process lives.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.known_ledgers import KnownLedgers
from batchgen.app.loading import LoadedBatch, load
from batchgen.app.open_batch import locate, open_in
from batchgen.app.run_directories import RunDirectories, default_directories
from batchgen.app.run_options import policy_of
from batchgen.app.signals import SignalExit, handled_signals, signals_noted
from batchgen.core.errors import BatchgenError, LocalIOError
from batchgen.core.run_settings import merge
from batchgen.core.summary import LiveSummary
from batchgen.core.units import duration_text
from batchgen.ledger.lock import at_work, work_sentence
from batchgen.ledger.replay import follow
from batchgen.ledger.reviews_file import verdicts_of
from batchgen.reports.status_text import StatusByColumn, status_lines, summary_json
from batchgen.reports.terminal import visible
from batchgen.reports.watch_view import JsonLines, PlainLines, Screen, WatchFrame, WatchView

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext

IDLE_S = 10.0
"""The watch ends once no run has been at work for this long."""
PAUSE_PER_READ = 4
"""After reading, the watch pauses at least this many times as long as reading took."""
NOBODY = "no run is at work"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the state of a batch, also while a run is at work."""
    if args.watch_s is not None:
        return _watch(args, context)
    now_s = context.clock.now_s()
    with read_snapshot(BatchRef.of(args), context) as snapshot:
        if snapshot.note:
            context.console.say(snapshot.note)
        directory = snapshot.directory
        summary = snapshot.summary()
        groups = None
        if args.by is not None:
            groups = StatusByColumn.of(args.by, snapshot.columns)
            groups.count_all(snapshot.rows())
        left_s = snapshot.eta_s(summary, now_s=now_s)
    holder = at_work(directory.path)
    if args.json:
        seen = {"eta_s": left_s, "at_work": None if holder is None else holder.as_json()}
        by = {} if groups is None else {"by": groups.as_json()}
        context.console.print_json({**summary_json(summary, None, ()), **seen, **by})
        return 0
    lines = list(
        status_lines(
            summary, directory.path, now_s=now_s, serve=BatchRef.of(args).command_line("serve")
        )
    )
    if groups is not None:
        lines += groups.lines()
    if left_s is not None:
        lines.append(f"about {duration_text(left_s)} left at the pace of the last jobs")
    if holder is not None:
        lines.append(work_sentence(holder, now_s))
    context.console.print_lines(*map(visible, lines))
    return 0


def _watch(args: argparse.Namespace, context: CommandContext) -> int:
    try:
        with StatusWatcher(BatchRef.of(args), context) as watcher:
            out = context.console.begin_result()
            is_screen = out.isatty() and context.environment.get("TERM", "dumb") != "dumb"
            kind: type[WatchView] = JsonLines if args.json else Screen if is_screen else PlainLines
            with kind(out) as view:
                return asyncio.run(watch(watcher, view.show, every_s=args.watch_s))
    except SignalExit as end:
        if end.number is signal.SIGINT:
            return 0  # while the manifest was read, before there was anything to show
        raise


async def watch(
    watcher: StatusWatcher, show: Callable[[WatchFrame], None], *, every_s: float
) -> int:
    """Show each frame until no run is at work any more, or a signal arrives.

    Returns the exit code of a run that ended with this state; 0 after Ctrl-C, which is the usual
    way to leave a watch; 74 as soon as nobody can see it any more.
    """
    clock, out = watcher.context.clock, watcher.context.console.out
    idle_since_s = clock.monotonic_s()
    with (
        signals_noted() as signals,
        handled_signals(lambda _: signals.event.set(), signal.SIGWINCH),
    ):
        while signals.number is None:
            if out.failure is not None:
                return LocalIOError.exit_code
            begun_s = clock.monotonic_s()
            frame = watcher.read()
            ended_s = clock.monotonic_s()
            if frame.holder is not None:
                idle_since_s = ended_s
            idle_left_s = idle_since_s + IDLE_S - ended_s
            if frame.holder is None and (frame.is_settled or idle_left_s <= 0):
                show(replace(frame, over=True))
                return frame.code
            show(frame)
            pause_s = max(every_s, PAUSE_PER_READ * (ended_s - begun_s))
            may_wait_s = pause_s if frame.holder is not None else min(pause_s, idle_left_s)
            await clock.wait(signals.event, may_wait_s)
            signals.event.clear()
    return 0 if signals.number is signal.SIGINT else 128 + signals.number


class StatusWatcher:
    """A batch that is read again and again; close it after use (`with`)."""

    def __init__(self, ref: BatchRef, context: CommandContext) -> None:
        """Read the manifest. Raises what that raises only if there is no ledger either."""
        self.context = context
        self._ref = ref
        self._note = ""
        self._loaded: LoadedBatch | None = None
        try:
            self._directories: RunDirectories = locate(ref)
        except BatchgenError as error:
            self._directories = default_directories(ref)
            self._leave_out_manifest(error)
        known = KnownLedgers.of(context.state_dir, ref)
        known.require_present(self._directories)
        self._directory = self._directories.newest()
        self._holder = at_work(self._directory.path)
        self._signs = self._read_signs()
        if not self._note:
            self._load()
        self._start_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded is not None:
            self._loaded.spool.close()

    def read(self) -> WatchFrame:
        """Read what is new. Raises `LedgerError` or `LocalIOError`."""
        self._directory = self._directories.newest()
        # Before the ledger is read: what a run wrote that has just ended is in this frame.
        holder = at_work(self._directory.path)
        self._holder = holder or self._holder
        signs = self._read_signs()
        if signs != self._signs:
            self._signs = signs
            self._load()
            self._start_over()
        elif not self._ledger.is_current:
            self._start_over()
        self._ledger.read_on()
        now_s = self.context.clock.now_s()
        return WatchFrame(
            run_dir=self._directory.path,
            summary=self._live.summary if holder else self._live.summary.doubting_crashes(),
            eta_s=self._live.time_left_s(now_s),
            holder=None if holder is None else holder.as_json(),
            holder_text=NOBODY if holder is None else work_sentence(holder, now_s),
            now_s=now_s,
            left=self._live.left,
            code=self._live.exit_code,
            is_settled=self._is_settled,
            note=self._note,
        )

    @property
    def _is_settled(self) -> bool:
        """Tell whether nothing more can be expected; failures only count if a run left them so."""
        if self._live.left or not self._directory.has_ledger:
            return False
        return self._holder is not None or self._live.exit_code == 0

    def _read_signs(self) -> tuple[object, ...]:
        """Return what changes when a run begins, which reads the manifest again."""
        try:
            run_file = self._directory.run_file.stat()
        except OSError:
            return self._directory, self._holder, None
        return self._directory, self._holder, run_file.st_ino, run_file.st_mtime_ns

    def _load(self) -> None:
        if self._ref.is_stdin and self._loaded is not None:
            return  # what came through a pipe cannot be read again
        try:
            batch = open_in(self._ref, self._directory, self.context)
            loaded = load(batch.manifest, spool_dir=self._directory.path)
        except BatchgenError as error:
            if self._loaded is None:
                self._leave_out_manifest(error)
            return  # somebody is saving it just now: the rows that were read before will do
        if self._loaded is not None:
            self._loaded.spool.close()
        self._loaded, self._note = loaded, batch.note_on_copy

    def _leave_out_manifest(self, error: BatchgenError) -> None:
        if not self._directories.newest().has_ledger:
            raise error
        self._note = f"{self._ref.shown} cannot be read; this is what the ledger alone says"

    def _start_over(self) -> None:
        live = self._live = self._live_summary()
        self._ledger = follow(self._directory.ledger, lambda record, _: live.take(record))

    def _live_summary(self) -> LiveSummary:
        if self._loaded is None:
            return LiveSummary(None, verdict=verdicts_of(self._directory.path))
        spool = self._loaded.spool
        policy = policy_of(merge({}, self._loaded.manifest.settings.run))
        rows = {job.id: job.fingerprint for job in spool.jobs()}
        return LiveSummary(
            rows, policy, unselected=spool.unselected(), invalid=spool.invalid,
            later=spool.later_ids(),
            verdict=verdicts_of(self._directory.path),
        )  # fmt: skip
