"""`batchgen run`: submit, poll, download; the same command resumes."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable

from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_run import BatchRun
from batchgen.app.command_context import CommandContext
from batchgen.app.located_runs import located_runs
from batchgen.app.open_batch import read_settings
from batchgen.app.run_options import RunRequest
from batchgen.core.errors import BatchgenError, LockHeld
from batchgen.core.run_limits import LockedAction
from batchgen.core.run_settings import RunSettings, given_flags
from batchgen.core.stop_reasons import worst

SKIPPED = "skipped"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Run the batch, and return the exit code."""
    return asyncio.run(run(BatchRef.of(args), request_of(args), context))


async def run(ref: BatchRef, request: RunRequest, context: CommandContext) -> int:
    """Run in every directory that has work left, and return the worst exit code.

    Raises `BatchgenError` if the run cannot begin.
    """
    console = context.console
    settings = request.settings(None)
    with console:
        console.configure(settings, context.clock)
        try:
            manifest = read_settings(ref)
            settings = request.settings(manifest)
            console.configure(settings, context.clock)
            return await _run_all(located_runs(ref, request, manifest, context))
        except BatchgenError as error:
            skips = settings.if_locked.action is LockedAction.SKIP
            if skips and isinstance(error, LockHeld):
                return _skipped(error, settings, context)
            console.log(str(error))
            raise


async def _run_all(batch_runs: Iterable[BatchRun]) -> int:
    codes = []
    for batch_run in batch_runs:
        code = await batch_run.execute()
        if code is None:
            continue
        codes.append(code)
        if code not in (0, 1) and not batch_run.settings.dry_run:
            return code
    return worst(codes)


def _skipped(error: LockHeld, settings: RunSettings, context: CommandContext) -> int:
    """Say that the run was skipped, and return the exit code."""
    code, text = settings.if_locked.skip_code, f"skipped, nothing was done: {error}"
    if settings.json:
        context.console.print_json({"exit_code": code, "reasons": [SKIPPED, error.reason]})
    speak = context.console.say if code == 0 else context.console.insist
    speak(text)
    return code


def request_of(args: argparse.Namespace) -> RunRequest:
    """Return what the command line asks for."""
    return RunRequest(flags=given_flags(vars(args)), command_line=args.command_line)
