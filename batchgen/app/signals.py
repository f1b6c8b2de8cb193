"""TODO."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from batchgen.core.errors import Interrupted, Terminated
from batchgen.core.stop_reasons import EFFECTS, StopReason
from batchgen.runner import Runner


@contextmanager
def signals_stop(runner: Runner) -> Iterator[None]:
    """The first signal asks the runner to stop, the second ends the process at once.

    Ending at once is safe: the ledger is valid after every write.
    """
    loop = asyncio.get_running_loop()
    reasons = {signal.SIGINT: StopReason.SIGINT, signal.SIGTERM: StopReason.SIGTERM}

    def on_signal(number: signal.Signals) -> None:
        if any(reason in reasons.values() for reason in runner.stop.reasons):
            os._exit(EFFECTS[reasons[number]].exit_code)
        runner.stop.request(reasons[number])

    for number in reasons:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in reasons:
            loop.remove_signal_handler(number)


class SignalWatch:
    """Signals that arrived while nothing could be lost by them."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.number: signal.Signals | None = None

    def note(self, number: signal.Signals) -> None:
        """One arrived."""
        self.number = self.number or number
        self.event.set()

    def raise_for_signal(self) -> None:
        """Raises `Interrupted` or `Terminated` where one arrived."""
        if self.number is signal.SIGINT:
            raise Interrupted("interrupted while it waited; nothing was done")
        if self.number is not None:
            raise Terminated("terminated while it waited; nothing was done")


@contextmanager
def signals_heard() -> Iterator[SignalWatch]:
    """SIGINT and SIGTERM set an event instead of ending the process."""
    loop, heard = asyncio.get_running_loop(), SignalWatch()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard.note, number)
    try:
        yield heard
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
