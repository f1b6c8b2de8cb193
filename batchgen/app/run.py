"""`batchgen run`: which directory, which rows, and then the night."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from batchgen.app import batch as batches
from batchgen.app.adoption import adoptions
from batchgen.app.batch import Loaded
from batchgen.app.kept import KeptSchemas, entries_of
from batchgen.app.night import Night
from batchgen.app.opening import Opened, open_at, place_of
from batchgen.app.options import Flags, RunOptions, Target, decide
from batchgen.app.prices import balance_sentence, price_of, price_sentence
from batchgen.app.remembered import known_jobs, unfinished
from batchgen.app.rundir import Dated
from batchgen.app.selected import Selected
from batchgen.app.session import Rehearsal, remote
from batchgen.app.talk import Talk, plan_json, plan_sentence, plan_table, turned_away
from batchgen.app.turn import Turn
from batchgen.clock import SystemClock
from batchgen.core.endings import worst
from batchgen.core.errors import BatchgenError, Interrupted, LockHeld, Terminated
from batchgen.core.moments import local_date
from batchgen.ledger import LEDGER_NAME, LedgerBook, RunLock, replay


async def run(target: Target, flags: Flags) -> int:
    """The exit code. Raises `BatchgenError` for what keeps the run from beginning."""
    with Talk(flags) as talk:
        try:
            return await _run(target, flags, talk)
        except (LockHeld, Interrupted, Terminated) as error:
            return turned_away(error, flags, talk)
        except BatchgenError as error:
            talk.log(str(error))
            raise


async def _run(target: Target, flags: Flags, talk: Talk) -> int:
    today = flags.date or local_date(SystemClock().now_s())
    place = place_of(target)
    turn = Turn(if_locked=flags.if_locked, say=talk.say)
    codes = []
    for directory in _earlier(place, today, flags):
        talk.insist(f"{directory} still has work left; it goes first")
        known = tuple(known_jobs(directory))
        continued = replace(flags, jobs=known, changed="keep", limit=None)
        codes.append(await _run_in(target, directory, continued, talk, turn))
        if codes[-1] not in (0, 1) and not flags.dry_run:
            return codes[-1]
    if isinstance(place, Dated):
        codes.append(await _run_in(target, place.on(today), flags, talk, turn, place=place))
    else:
        codes.append(await _run_in(target, place, flags, talk, turn))
    return worst(codes)


def _earlier(place: Dated | Path, today: str, flags: Flags) -> Sequence[Path]:
    """Directories of earlier days whose night did not come to its end."""
    if not isinstance(place, Dated) or flags.date or flags.fresh:
        return ()
    return [path for date, path in place.existing() if date < today and unfinished(path)]


async def _run_in(
    target: Target,
    run_dir: Path,
    flags: Flags,
    talk: Talk,
    turn: Turn,
    *,
    place: Dated | None = None,
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
    target: Target,
    run_dir: Path,
    flags: Flags,
    talk: Talk,
    place: Dated | None,
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
        options = decide(flags, loaded.manifest.head)
        loaded.require_valid(skip_invalid=options.skip_invalid)
        for note in (*opened.notes, *loaded.manifest.notes, *opened.models.notes):
            talk.say(note)
        if flags.dry_run:
            return _dry_run(opened, loaded, options, flags)
        batches.make_directory(run_dir)
        lock = lock or held.enter_context(RunLock.acquire(run_dir, now_s=SystemClock().now_s()))
        return await _spend(opened, flags, loaded, options, talk, lock)


async def _spend(
    opened: Opened,
    flags: Flags,
    loaded: Loaded,
    options: RunOptions,
    talk: Talk,
    lock: RunLock,
) -> int:
    target, run_dir = opened.target, opened.run_dir
    kept = KeptSchemas(run_dir)
    entries = entries_of(loaded, opened.models, kept)
    rehearsal = Rehearsal(run_dir=run_dir, entries=tuple(entries)) if target.sandbox else None
    async with remote(target.base_url, rehearsal) as api:
        book = LedgerBook.open(run_dir, api=api.base.origin, clock=SystemClock(), lock=lock)
        try:
            for entry in entries:
                kept.keep(entry)
            return await Night(
                opened=opened, flags=flags, loaded=loaded, options=options, remote=api, book=book,
                talk=talk,
            ).spend()  # fmt: skip
        finally:
            await book.close()


def _dry_run(opened: Opened, loaded: Loaded, options: RunOptions, flags: Flags) -> int:
    records = replay(opened.run_dir / LEDGER_NAME).memory
    for old, new in adoptions(loaded.spool, records):
        records.adopt(old, new)
    prices = price_of(opened.models, options)
    plan = Selected.of(loaded.spool, records, options, matches_state=loaded.matches_state).plan(
        prices
    )
    if flags.json:
        print(msgspec.json.encode(plan_json(plan)).decode())
        return 0
    print(plan_sentence(plan, loaded))
    print("\n".join(plan_table(plan)))
    for sentence in (price_sentence(plan), balance_sentence(opened.target, plan)):
        if sentence:
            print(sentence)
    print("nothing was submitted (dry run)")
    return 0
