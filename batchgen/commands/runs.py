"""`batchgen runs`: the run directories of a manifest and how each run ended."""

from __future__ import annotations

import argparse

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.open_batch import directories_of, locate, read_settings
from batchgen.app.pruning import prunable, remove
from batchgen.app.run_file import is_finished
from batchgen.core.errors import UsageError
from batchgen.core.summary import Summary
from batchgen.core.units import count_text, size_text, timestamp
from batchgen.ledger.history_file import read_history
from batchgen.reports.status_text import state_phrases, summary_json
from batchgen.system.run_directory import RunDirectory


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print one line for each directory, the oldest first, then those of shards; or prune."""
    ref = BatchRef.of(args)
    _require_prune_flags(args)
    if args.prune:
        return _prune(args, ref, context)
    directories = locate(ref)
    shards = [] if directories.shard else [one for *_, one in directories.begun_shards()]
    found = _summaries([*directories.begun(), *shards], ref, context)
    if args.json:
        context.console.print_json(
            [
                {
                    "run_dir": str(one),
                    **summary_json(summary, None, ()),
                    "runs": [past.as_json() for past in read_history(one)],
                }
                for one, summary in found
            ]
        )
        return 0
    for directory, summary in found:
        left = "" if is_finished(directory) else "  (work left)"
        context.console.print_lines(f"{directory}  {', '.join(state_phrases(summary))}{left}")
    if not found:
        context.console.print_lines(f"no run yet; it would be in {directories.newest()}")
    return 0


def _summaries(
    begun: list[RunDirectory], ref: BatchRef, context: CommandContext
) -> list[tuple[RunDirectory, Summary]]:
    """Return the totals of each directory; only the newest has the rows of the manifest as it is.

    The manifest may have gone: then they are those of the ledgers.
    """
    if not begun:
        return []
    with read_snapshot(ref, context) as snapshot:
        if snapshot.note:
            context.console.say(snapshot.note)
        return [
            (
                one,
                snapshot.summary() if one == snapshot.directory else snapshot.earlier_summary(one),
            )
            for one in begun
        ]


def _require_prune_flags(args: argparse.Namespace) -> None:
    if args.prune and args.keep_last is None:
        raise UsageError("--prune needs --keep-last N: how many of the newest directories stay")
    if not args.prune and (args.yes or args.keep_last is not None):
        raise UsageError("--keep-last and --yes belong to --prune")


def _prune(args: argparse.Namespace, ref: BatchRef, context: CommandContext) -> int:
    """List what could go, and remove it with `--yes`."""
    settings = read_settings(ref)
    directories = directories_of(ref, settings)
    output_dir = None if settings is None else settings.output.dir
    found = list(prunable(directories, keep_last=args.keep_last, output_dir=output_dir))
    if args.yes:
        now_s = context.clock.now_s()
        remove(found, now=timestamp(now_s), now_s=now_s)
    if args.json:
        context.console.print_json([one.as_json(removed=args.yes) for one in found])
        return 0
    verb = "removed" if args.yes else "could go"
    for one in found:
        amount = f"{count_text(one.files, 'file')}, {size_text(one.file_bytes)}"
        what = f"skipped: {one.skipped}" if one.skipped else f"{amount} {verb}"
        context.console.print_lines(f"{one.directory}  {what}")
    if not found:
        few = "no directory is older than those that stay"
        context.console.print_lines(few if directories.are_dated else NOT_DATED)
    elif not args.yes and any(one.paths for one in found):
        context.console.say("nothing was removed; add --yes to remove them")
    return 0


NOT_DATED = "nothing to prune: the run directory has no date in its name"
