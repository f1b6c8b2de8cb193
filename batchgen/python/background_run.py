"""A run in a thread and on an event loop of its own, which another program waits for or stops.

So it does not matter whether the caller has a running loop, and a loop that is closed in the middle
of a run takes nothing away from it: what was begun is recorded first, as after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Generic, TypeVar

from batchgen.app.signals import RequestedSignals

T = TypeVar("T")

LOOK_S = 0.2
"""How often a run looks whether the program around it has ended."""


class BackgroundRun(Generic[T]):
    """A coroutine in a thread of its own, with the signals that end it early."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], signals: RequestedSignals):
        """Begin `work`, which has to end when it is given a signal."""
        self._signals = signals
        self._ended: Future[T] = Future()
        context = contextvars.copy_context()
        # Not a daemon: when the program ends, Python waits until the run has drained.
        self._thread = threading.Thread(
            target=context.run, args=(_run, work, signals, self._ended), name="batchgen"
        )
        self._thread.start()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Let the run drain, as this signal would. Returns at once."""
        self._signals.give(number)

    @property
    def is_stopped(self) -> bool:
        """Tell whether it was asked to end early."""
        return self._signals.was_given

    @property
    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self._ended.done()

    def result(self) -> T:
        """Wait for the end, and return the result or raise the error.

        What interrupts the waiting (Ctrl-C, an exception of a signal handler) drains the run, and
        goes on once that is done; a second Ctrl-C does not wait. So does SIGTERM or SIGHUP, if it
        would have ended the program: it ends it after the drain.
        """
        with self._default_signals_stop() as arrived:
            try:
                wait((self._ended,))
            except BaseException as interruption:
                is_ctrl_c = isinstance(interruption, KeyboardInterrupt)
                self.stop(signal.SIGINT if is_ctrl_c else signal.SIGTERM)
                wait((self._ended,))
                raise
        if arrived:
            os.kill(os.getpid(), arrived[0])
        return self.outcome()

    def outcome(self) -> T:
        """Return the result, or raise the error, of a run that has ended."""
        return self._ended.result()

    def join(self) -> None:
        """Wait until the run has ended, however it ends."""
        wait((self._ended,))

    async def drained(self) -> None:
        """Wait, on the caller's loop, until the run has ended, however it ends."""
        waiting = asyncio.wrap_future(self._ended)
        with suppress(Exception):
            await asyncio.shield(waiting)

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Call `tell` from the run's thread once the run has ended."""
        self._ended.add_done_callback(lambda _: tell())

    @contextmanager
    def _default_signals_stop(self) -> Iterator[list[signal.Signals]]:
        """Let SIGTERM and SIGHUP drain the run if the program leaves them as they are.

        Gives a list that has the signal once one has arrived; the next one ends the program.
        """
        arrived: list[signal.Signals] = []
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGHUP) if is_main else ()
        taken = [one for one in numbers if signal.getsignal(one) is signal.SIG_DFL]

        def leave_alone() -> None:
            for number in taken:
                signal.signal(number, signal.SIG_DFL)

        def handler(number: int, _: FrameType | None) -> None:
            arrived.append(signal.Signals(number))
            self.stop(arrived[0])
            leave_alone()

        for number in taken:
            signal.signal(number, handler)
        try:
            yield arrived
        finally:
            leave_alone()


def _run(
    work: Callable[[], Coroutine[Any, Any, T]], signals: RequestedSignals, ended: Future[T]
) -> None:
    async def watched() -> T:
        watch = asyncio.create_task(_end_with_the_program(signals))
        try:
            return await work()
        finally:
            watch.cancel()

    try:
        result = asyncio.run(watched())
    except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
        ended.set_exception(error)
    else:
        ended.set_result(result)


async def _end_with_the_program(signals: RequestedSignals) -> None:
    """Stop the run if the main thread has ended: nobody is left who would read its results."""
    main = threading.main_thread()
    while main.is_alive():  # noqa: ASYNC110 - the end of a thread sets no event
        await asyncio.sleep(LOOK_S)
    signals.give(signal.SIGTERM)
