"""`batchgen run`: which directory, which rows, and then the night.

`batchgen run`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from batchgen.app import loading as batches
from batchgen.app.batch_ref import BatchRef, batch_ref_of
from batchgen.app.batch_run import BatchRun
from batchgen.app.console import Console
from batchgen.app.loading import LoadedBatch, entries_of
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import OpenBatch, open_at, place_of
from batchgen.app.pricing import balance_sentence, price_of, price_sentence
from batchgen.app.remote import SandboxRun, remote
from batchgen.app.run_directory import DatedRunDirectories
from batchgen.app.run_file import known_jobs, unfinished
from batchgen.app.run_options import Flags, RunOptions, decide
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.core.adoption import adoptions
from batchgen.core.errors import BatchgenError, Interrupted, LockHeld, Terminated
from batchgen.core.run_limits import LockedAction
from batchgen.core.run_settings import given_flags
from batchgen.core.stop_reasons import StopReason, worst
from batchgen.core.units import local_date
from batchgen.ledger import LEDGER_NAME, RunLedger, RunLock, replay
from batchgen.models.pinned import PinnedSchemas
from batchgen.reports.plan_text import plan_json, plan_sentence, plan_table
from batchgen.system.clock import SystemClock


async def run(target: BatchRef, flags: Flags) -> int:
    """The exit code. Raises `BatchgenError` for what keeps the run from beginning."""
    with Console(flags) as talk:
        try:
            return await _run(target, flags, talk)
        except (LockHeld, Interrupted, Terminated) as error:
            return turned_away(error, flags, talk)
        except BatchgenError as error:
            talk.log(str(error))
            raise


async def _run(target: BatchRef, flags: Flags, talk: Console) -> int:
    today = flags.date or local_date(SystemClock().now_s())
    place = place_of(target)
    turn = LockWait(if_locked=flags.if_locked, say=talk.say)
    codes = []
    for directory in _earlier(place, today, flags):
        talk.insist(f"{directory} still has work left; it goes first")
        known = tuple(known_jobs(directory))
        continued = replace(flags, jobs=known, changed="keep", limit=None)
        codes.append(await _run_in(target, directory, continued, talk, turn))
        if codes[-1] not in (0, 1) and not flags.dry_run:
            return codes[-1]
    if isinstance(place, DatedRunDirectories):
        codes.append(await _run_in(target, place.on(today), flags, talk, turn, place=place))
    else:
        codes.append(await _run_in(target, place, flags, talk, turn))
    return worst(codes)


def _earlier(place: DatedRunDirectories | Path, today: str, flags: Flags) -> Sequence[Path]:
    """Directories of earlier days whose night did not come to its end."""
    if not isinstance(place, DatedRunDirectories) or flags.date or flags.fresh:
        return ()
    return [path for date, path in place.existing() if date < today and unfinished(path)]


async def _run_in(
    target: BatchRef,
    run_dir: Path,
    flags: Flags,
    talk: Console,
    turn: LockWait,
    *,
    place: DatedRunDirectories | None = None,
) -> int:
    """One night. The lock comes first, so that what is read is what is so when it begins."""
    lock = None if flags.dry_run else await turn.take(run_dir)
    try:
        return await _locked(target, run_dir, flags, talk, place, lock)
    except LockHeld:
        if lock is not None or not turn.waits or target.manifest == "-":
            raise
    # Both began this directory in the same moment, and the other one was first.
    return await _locked(target, run_dir, flags, talk, place, await turn.take(run_dir))


async def _locked(
    target: BatchRef,
    run_dir: Path,
    flags: Flags,
    talk: Console,
    place: DatedRunDirectories | None,
    lock: RunLock | None,
) -> int:
    """`lock` is None in a directory that nobody has begun yet."""
    with ExitStack() as held:
        if lock is not None:
            held.enter_context(lock)
        opened = open_at(target, run_dir, live=True)
        opened = opened if place is None else replace(opened, place=place)
        loaded = held.enter_context(
            batches.load(opened.manifest, opened.target, spool_dir=opened.run_dir)
        )
        options = decide(flags, loaded.manifest.settings)
        loaded.require_valid(skip_invalid=options.skip_invalid)
        for note in (*opened.notes, *loaded.manifest.notes, *opened.models.notes):
            talk.say(note)
        if flags.dry_run:
            return _dry_run(opened, loaded, options, flags)
        batches.make_directory(run_dir)
        lock = lock or held.enter_context(RunLock.acquire(run_dir, now_s=SystemClock().now_s()))
        return await _spend(opened, flags, loaded, options, talk, lock)


async def _spend(
    opened: OpenBatch,
    flags: Flags,
    loaded: LoadedBatch,
    options: RunOptions,
    talk: Console,
    lock: RunLock,
) -> int:
    target, run_dir = opened.target, opened.run_dir
    kept = PinnedSchemas(run_dir)
    entries = entries_of(loaded, opened.models, kept)
    rehearsal = SandboxRun(run_dir=run_dir, entries=tuple(entries)) if target.sandbox else None
    async with remote(target.base_url, rehearsal) as api:
        book = RunLedger.open(run_dir, api=api.base.origin, clock=SystemClock(), lock=lock)
        try:
            for entry in entries:
                kept.keep(entry)
            return await BatchRun(
                opened=opened, flags=flags, loaded=loaded, options=options, remote=api, book=book,
                talk=talk,
            ).spend()  # fmt: skip
        finally:
            await book.close()


def _dry_run(opened: OpenBatch, loaded: LoadedBatch, options: RunOptions, flags: Flags) -> int:
    records = replay(opened.run_dir / LEDGER_NAME).index
    for old, new in adoptions(loaded.spool, records):
        records.adopt(old, new)
    prices = price_of(opened.models, options)
    plan = SelectedJobs.of(loaded.spool, records, options, matches_state=loaded.matches_state).plan(
        prices
    )
    if flags.json:
        print(msgspec.json.encode(plan_json(plan)).decode())
        return 0
    print(plan_sentence(plan, invalid=loaded.spool.invalid))
    print("\n".join(plan_table(plan)))
    for sentence in (price_sentence(plan), balance_sentence(opened.target, plan)):
        if sentence:
            print(sentence)
    print("nothing was submitted (dry run)")
    return 0


def handle(args: argparse.Namespace) -> int:
    """Run the batch; its exit code."""
    return asyncio.run(run(batch_ref_of(args), flags_of(args)))


def flags_of(args: argparse.Namespace) -> Flags:
    """The flags as values; what was not given is None."""
    return Flags(command_line=args.command_line, **given_flags(vars(args)))


IN_USE = "run directory in use"

SKIPPED = "skipped"


def turned_away(error: LockHeld | Interrupted | Terminated, flags: Flags, talk: Console) -> int:
    """Say why the run did not even begin; the exit code."""
    code, text = error.exit_code, str(error)
    reasons = [IN_USE]
    if isinstance(error, Interrupted):
        reasons = [StopReason.SIGINT.value]
    elif isinstance(error, Terminated):
        reasons = [StopReason.SIGTERM.value]
    elif flags.if_locked.stance is LockedAction.SKIP:
        code, text = flags.if_locked.skip_code, f"skipped, nothing was done: {error}"
        reasons = [SKIPPED, IN_USE]
    if flags.json:
        print(msgspec.json.encode({"exit_code": code, "reasons": reasons}).decode())
    speak = talk.say if code == 0 else talk.insist
    speak(text)
    return code
