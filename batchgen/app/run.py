"""`batchgen run`: which directory, which rows, and then the night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from batchgen.app import batch as batches
from batchgen.app.adoption import adoptions
from batchgen.app.batch import Loaded
from batchgen.app.kept import KeptSchemas, entries_of
from batchgen.app.night import Night
from batchgen.app.opening import Opened, open_at, open_batch
from batchgen.app.options import Flags, RunOptions, Target, decide
from batchgen.app.prices import balance_sentence, price_of, price_sentence
from batchgen.app.remembered import known_jobs, unfinished
from batchgen.app.rundir import Dated
from batchgen.app.selected import Selected
from batchgen.app.session import Rehearsal, remote
from batchgen.app.talk import Talk, plan_json, plan_sentence, plan_table
from batchgen.clock import SystemClock
from batchgen.core.endings import worst
from batchgen.core.moments import local_date
from batchgen.ledger import LEDGER_NAME, LedgerBook, replay


async def run(target: Target, flags: Flags) -> int:
    """The exit code. Raises `BatchgenError` for what keeps the run from beginning."""
    today = flags.date or local_date(SystemClock().now_s())
    opened = open_batch(target, pick=lambda dated: dated.on(today), live=True)
    codes = []
    for directory in _earlier(opened, today, flags):
        Talk(flags).insist(f"{directory} still has work left; it goes first")
        known = tuple(known_jobs(directory))
        continued = replace(flags, jobs=known, changed="keep", limit=None)
        codes.append(await _run_in(open_at(target, directory, live=True), continued))
        if codes[-1] not in (0, 1) and not flags.dry_run:
            return codes[-1]
    codes.append(await _run_in(opened, flags))
    return worst(codes)


def _earlier(opened: Opened, today: str, flags: Flags) -> Sequence[Path]:
    """Directories of earlier days whose night did not come to its end."""
    if not isinstance(opened.place, Dated) or flags.date or flags.fresh:
        return ()
    return [path for date, path in opened.place.existing() if date < today and unfinished(path)]


async def _run_in(opened: Opened, flags: Flags) -> int:
    with batches.load(opened.manifest, opened.target, spool_dir=opened.run_dir) as loaded:
        options = decide(flags, loaded.manifest.head)
        loaded.require_valid(skip_invalid=options.skip_invalid)
        talk = Talk(flags)
        for note in (*opened.notes, *loaded.manifest.notes, *opened.models.notes):
            talk.say(note)
        if flags.dry_run:
            return _dry_run(opened, loaded, options, flags)
        return await _spend(opened, flags, loaded, options, talk)


async def _spend(
    opened: Opened, flags: Flags, loaded: Loaded, options: RunOptions, talk: Talk
) -> int:
    target, run_dir = opened.target, opened.run_dir
    batches.make_directory(run_dir)
    kept = KeptSchemas(run_dir)
    entries = entries_of(loaded, opened.models, kept)
    rehearsal = Rehearsal(run_dir=run_dir, entries=tuple(entries)) if target.sandbox else None
    async with remote(target.base_url, rehearsal) as api:
        book = LedgerBook.open(run_dir, api=api.base.origin, clock=SystemClock())
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
