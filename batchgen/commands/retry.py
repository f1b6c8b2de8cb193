"""`batchgen retry`: grant jobs one more attempt, and run those."""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.run_command import RunCommand
from batchgen.app.run_options import Retry, RunRequest
from batchgen.core.lifecycle import JobState
from batchgen.core.run_settings import given_flags


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Grant the chosen jobs one more attempt, run them, and return the exit code."""
    wanted = {JobState.IN_DOUBT: args.doubts, JobState.CANCELLED: args.cancelled}
    states = frozenset(state for state, chosen in wanted.items() if chosen)
    retry = Retry(states=states or frozenset({JobState.FAILED}), jobs=frozenset(args.job))
    flags = {**given_flags(vars(args)), "jobs": ()}  # --job chooses what is retried
    request = RunRequest(
        flags=flags, command_line=args.command_line, retry=retry, retry_rest=args.all
    )
    return asyncio.run(
        RunCommand(ref=BatchRef.of(args), request=request, context=context).execute()
    )
