"""`batchgen run`: submit, poll, download; the same command resumes."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_run import located_runs
from batchgen.app.command_context import CommandContext
from batchgen.app.run_options import Flags
from batchgen.core.errors import BatchgenError, Interrupted, LockHeld, Terminated
from batchgen.core.run_limits import LockedAction
from batchgen.core.run_settings import given_flags
from batchgen.core.stop_reasons import StopReason, worst

IN_USE = "run directory in use"
SKIPPED = "skipped"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Run the batch, and return the exit code."""
    return asyncio.run(run(BatchRef.of(args), flags_of(args), context))


async def run(ref: BatchRef, flags: Flags, context: CommandContext) -> int:
    """Run in every directory that has work left, and return the worst exit code.

    Raises `BatchgenError` if the run cannot begin.
    """
    console = context.console
    console.quiet = flags.quiet
    with console:
        console.start_log(
            context.clock,
            path=Path(flags.log_file) if flags.log_file else None,
            as_json=flags.log_json,
        )
        try:
            return await _run_all(ref, flags, context)
        except (LockHeld, Interrupted, Terminated) as error:
            return _turned_away(error, flags, context)
        except BatchgenError as error:
            console.log(str(error))
            raise


async def _run_all(ref: BatchRef, flags: Flags, context: CommandContext) -> int:
    codes = []
    for batch_run in located_runs(ref, flags, context):
        codes.append(await batch_run.execute())
        if codes[-1] not in (0, 1) and not flags.dry_run:
            return codes[-1]
    return worst(codes)


def _turned_away(
    error: LockHeld | Interrupted | Terminated, flags: Flags, context: CommandContext
) -> int:
    """Say why the run did not begin, and return the exit code."""
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
        context.console.print_json({"exit_code": code, "reasons": reasons})
    speak = context.console.say if code == 0 else context.console.insist
    speak(text)
    return code


def flags_of(args: argparse.Namespace) -> Flags:
    """Return the flags as values; None for what was not given."""
    return Flags(command_line=args.command_line, **given_flags(vars(args)))
