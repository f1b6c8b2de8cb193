"""`batchgen serve`: the page on a loopback port, followed live; verdicts are stored at once."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.live_batch import LiveBatch
from batchgen.app.live_view import read_view
from batchgen.app.signals import signals_noted
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.serving.page_server import HOST, PageServer


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Serve until a signal; Ctrl-C, the usual way to end it, is 0."""
    ref = BatchRef.of(args)
    if ref.is_stdin:
        raise UsageError("serve reads the manifest again when it changes; give a file, not -")
    return asyncio.run(serve(ref, context, port=args.port))


async def serve(ref: BatchRef, context: CommandContext, *, port: int) -> int:
    """Serve a batch, print the address, and return the exit code after a signal.

    Raises what reading the batch raises, and `LocalIOError` if the port is taken.
    """
    with signals_noted() as signals:
        live = LiveBatch(lambda: read_view(ref, context), Path(ref.manifest), context.clock)
        server = PageServer(live)
        try:
            await server.start(port)
        except OSError as error:
            await server.stop()
            why = os.strerror(error.errno) if error.errno else str(error)
            raise LocalIOError(f"{HOST}:{port}: {why}; give another --port") from error
        watching = asyncio.create_task(live.watch())
        try:
            context.console.print_lines(server.url)
            context.console.out.flush()
            context.console.say("serves the page on this machine only; Ctrl-C ends it")
            ended = asyncio.create_task(signals.event.wait())
            await asyncio.wait((ended, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            await server.stop()
    number = signals.number
    return 0 if number in (None, signal.SIGINT) else 128 + number
