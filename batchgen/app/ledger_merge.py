"""`ledger merge`: one run directory of several, so that the next run pays for nothing again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.app.lock_wait import LockWait
from batchgen.app.merged_inputs import note_merged
from batchgen.app.run_file import first_jobs, inherit, remember_jobs
from batchgen.core.errors import DirectoryNotFound, LockHeld
from batchgen.core.run_limits import IfLocked
from batchgen.core.units import timestamp
from batchgen.ledger.lock import at_work, work_sentence
from batchgen.ledger.merge import LedgerMerge, MergeInput, require_mergeable
from batchgen.ledger.reviews_file import append_reviews, read_reviews
from batchgen.models.pinned import PinnedSchemas
from batchgen.outputs.linked_files import LinkedFiles

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext
    from batchgen.core.reviews import Verdict
    from batchgen.system.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """The outcome of a merge, for the user."""

    ledgers: int
    jobs: int
    shared: int
    """Jobs that several ledgers knew."""
    files: int
    """Files that were linked or copied."""
    missing: int
    notes: tuple[str, ...] = ()


def merge(
    target: RunDirectory, sources: Sequence[RunDirectory], context: CommandContext
) -> MergeResult:
    """Merge the ledgers of run directories, and of the target if it has one.

    Raises `DirectoryNotFound`, `LockHeld` for a directory in use, `LedgerError` for what must not
    or cannot be merged (then nothing is written), and `LocalIOError`.
    """
    for one in sources:
        if not one.path.is_dir():
            raise DirectoryNotFound(f"{one}: no such run directory; nothing was written")
    own = [target] if target.has_ledger else []
    directories = require_mergeable([*own, *sources])
    for one in directories:
        _require_idle(one, context)
    with ExitStack() as stack:
        lock_wait = LockWait(if_locked=IfLocked(), context=context)
        if own:
            stack.enter_context(lock_wait.acquire(target))
        merged = LedgerMerge.of([MergeInput.read(one) for one in directories])
        if not own:  # a refusal leaves no trace
            target.create()
            stack.enter_context(lock_wait.acquire(target))
        return _write(target, merged, context)


def _require_idle(directory: RunDirectory, context: CommandContext) -> None:
    if (holder := at_work(directory.path)) is not None:
        sentence = work_sentence(holder, context.clock.now_s())
        raise LockHeld(f"{directory}: {sentence}; nothing was written")


def _write(target: RunDirectory, merged: LedgerMerge, context: CommandContext) -> MergeResult:
    directories = [one.directory for one in merged.inputs]
    others = [one for one in merged.inputs if one.directory != target]
    files = LinkedFiles(target)
    for one in merged.inputs:  # those of the target come first, and keep their paths
        for record in one.records_with_files():
            for take in (*record.takes, record.present_take):
                for file in take.files:
                    files.link(one.directory, file)
    notes = _copy_the_rest(target, [one.directory for one in others])
    now = timestamp(context.clock.now_s())
    merged.write(target, [partial(files.path, one) for one in directories], created=now)
    note_merged(target, {one.directory: one.replay.position.offset for one in others})
    return MergeResult(
        ledgers=len(directories), jobs=merged.jobs, shared=len(merged.shared), files=files.linked,
        missing=files.missing, notes=notes,
    )  # fmt: skip


def _copy_the_rest(target: RunDirectory, others: Sequence[RunDirectory]) -> tuple[str, ...]:
    """Bring verdicts, schemas and options together; return what the user should know."""
    notes = list(inherit(target, others)) if others else []
    pinned = PinnedSchemas(target.path)
    known = {repr(verdict) for verdict in read_reviews(target.path)}
    new: dict[str, Verdict] = {}
    for one in others:
        for model in pinned.copy_from(PinnedSchemas(one.path)):
            notes.append(
                f"{one}: its first run kept another schema of {model}; {target} goes on with the"
                " one that it has. If that changes rows, a dry run shows what would be paid for"
            )
        new |= {repr(verdict): verdict for verdict in read_reviews(one.path)}
    added = [verdict for line, verdict in new.items() if line not in known]
    append_reviews(target.path, sorted(added, key=lambda verdict: verdict.ts))
    if all(one.jobs_file.exists() for one in others):
        jobs = dict.fromkeys(job for one in (target, *others) for job in first_jobs(one))
        remember_jobs(target, jobs, replace_them=True)
    return tuple(notes)
