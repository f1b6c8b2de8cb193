"""`batchgen run`: submit, poll, download; the same command resumes."""

from __future__ import annotations

import argparse
import asyncio

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.run_command import RunCommand
from batchgen.app.run_options import RunRequest
from batchgen.core.run_settings import given_flags


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Run the batch, and return the exit code."""
    flags = given_flags(vars(args))
    request = RunRequest(flags=flags, command_line=args.command_line)
    return asyncio.run(
        RunCommand(ref=BatchRef.of(args), request=request, context=context).execute()
    )
