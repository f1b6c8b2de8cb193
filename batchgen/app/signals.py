"""Signals: the one place that installs handlers, and the two things that commands do with them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchgen.core.errors import Interrupted, Terminated
from batchgen.core.stop_reasons import EFFECTS, StopReason
from batchgen.runner.runner import Runner

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REASONS = {signal.SIGINT: StopReason.SIGINT, signal.SIGTERM: StopReason.SIGTERM}


@contextmanager
def handled_signals(
    handle: Callable[[signal.Signals], None], *numbers: signal.Signals
) -> Iterator[None]:
    """Call `handle` on the running loop for these signals (none named: those that stop a command).

    Outside of the main thread nothing is installed: there is no way to, and whoever runs a command
    there decides when it ends.
    """
    loop = asyncio.get_running_loop()
    installed = []
    try:
        for number in numbers or STOP_SIGNALS:
            try:
                loop.add_signal_handler(number, handle, number)
            except (ValueError, RuntimeError):  # not the main thread
                break
            installed.append(number)
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


@contextmanager
def signals_stop(runner: Runner) -> Iterator[None]:
    """Let the first signal ask the runner to stop, and the second end the process at once.

    Ending at once is safe: the ledger is valid after every write.
    """

    def stop(number: signal.Signals) -> None:
        if any(reason in _REASONS.values() for reason in runner.stop.reasons):
            os._exit(EFFECTS[_REASONS[number]].exit_code)
        runner.stop.request(_REASONS[number])

    with handled_signals(stop):
        yield


class SignalWatch:
    """Signals that arrived while nothing could be lost by them."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.number: signal.Signals | None = None

    def note(self, number: signal.Signals) -> None:
        """Remember the first signal, and set the event for each."""
        self.number = self.number or number
        self.event.set()

    def raise_for_signal(self) -> None:
        """Raise `Interrupted` or `Terminated` if a signal arrived."""
        if self.number is signal.SIGINT:
            raise Interrupted("interrupted while waiting; nothing was done")
        if self.number is not None:
            raise Terminated("terminated while waiting; nothing was done")


@contextmanager
def signals_noted() -> Iterator[SignalWatch]:
    """Note SIGINT and SIGTERM instead of ending the process."""
    watch = SignalWatch()
    with handled_signals(watch.note):
        yield watch
