"""`batchgen serve`: the page on a loopback port, followed live; verdicts are stored at once."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.live_batch import LiveBatch
from batchgen.app.live_view import ViewReader
from batchgen.app.signals import signals_noted
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.serving.page_server import HOST, PageServer


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Serve until a signal; Ctrl-C, the usual way to end it, is 0."""
    ref = BatchRef.of(args)
    if ref.is_stdin:
        raise UsageError("serve reads the manifest again when it changes; give a file, not -")
    # Closed after the loop: a thread may be reading until then.
    with closing(ViewReader(ref, context)) as read:
        live = partial(LiveBatch, read, Path(ref.manifest), context.clock)
        return asyncio.run(serve(live, context, port=args.port, until_eof=args.until_eof))


async def serve(
    begin: Callable[[], LiveBatch], context: CommandContext, *, port: int, until_eof: bool = False
) -> int:
    """Read a batch with `begin`, serve it, and return the exit code after a signal.

    `until_eof`: also end when stdin is closed, because the run that it belongs to has ended.

    Raises what reading the batch raises, and `LocalIOError` if the port is taken.
    """
    with signals_noted() as signals:
        live = begin()
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
            ends = [asyncio.create_task(signals.event.wait()), watching]
            if until_eof:
                ends.append(asyncio.create_task(_end_of_stdin()))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            if signals.number is None:
                await live.refresh()  # how the run has ended
        finally:
            watching.cancel()
            await server.stop()
    number = signals.number
    return 0 if number in (None, signal.SIGINT) else 128 + number


async def _end_of_stdin() -> None:
    """Return when stdin is closed."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            closed.set()

    loop.add_reader(0, look)
    await closed.wait()
