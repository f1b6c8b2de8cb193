"""Signals: the one place that installs handlers, and what commands do when one arrives.

A run inside another program gets them from that program (`RequestedSignals`), and installs none.

SIGINT, SIGTERM and SIGHUP end a command: a run drains, a wait ends, and everything else is left
where it is, as if by an exception. A second one ends the process at once. SIGHUP is left alone if
it is ignored when the command begins, as `nohup` asks for.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from batchgen.core.errors import BatchgenError, HungUp, Interrupted, Terminated
from batchgen.core.stop_reasons import StopReason

if TYPE_CHECKING:
    from batchgen.runner.stopping import Stop

_REASONS = {
    signal.SIGHUP: StopReason.SIGHUP,
    signal.SIGINT: StopReason.SIGINT,
    signal.SIGTERM: StopReason.SIGTERM,
}
_ERRORS = {signal.SIGHUP: HungUp, signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command."""
    is_hup_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(one for one in _REASONS if not (one is signal.SIGHUP and is_hup_ignored))


def error_of(number: signal.Signals, text: str) -> BatchgenError:
    """Return the error that says that a signal ended the command."""
    error = _ERRORS[number]
    return error(f"{error.reason}{text}")


class SignalExit(KeyboardInterrupt):
    """A signal that ends the command, raised wherever that is. No `except Exception` sees it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number

    @property
    def error(self) -> BatchgenError:
        """The same for the user."""
        return error_of(self.number, "; to resume, run the same command again")


def _exit_now(number: signal.Signals) -> None:
    """End the process; the ledger is valid after every write."""
    os._exit(128 + number)


class SignalSource(Protocol):
    """The sender of signals: the kernel, or the program that a run is a part of."""

    def handled(
        self, handle: Callable[[signal.Signals], None], numbers: tuple[signal.Signals, ...]
    ) -> AbstractContextManager[None]:
        """Call `handle` for each of these signals, for as long as this is entered."""
        ...


class ProcessSignals:
    """The signals of this process (protocol `SignalSource`)."""

    @contextmanager
    def handled(
        self, handle: Callable[[signal.Signals], None], numbers: tuple[signal.Signals, ...]
    ) -> Iterator[None]:
        """Call `handle` in the main thread between two steps of the program, also in long work.

        Outside of the main thread nothing is installed, because Python allows that nowhere else. A
        program that runs a command there decides when it ends.
        """

        def handler(number: int, _: FrameType | None) -> None:
            handle(signal.Signals(number))

        before = {}
        try:
            for number in numbers:
                try:
                    before[number] = signal.signal(number, handler)
                except ValueError:  # not the main thread
                    break
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, signal.SIG_DFL if previous is None else previous)


PROCESS_SIGNALS = ProcessSignals()


class RequestedSignals:
    """Signals that a program gives to a run inside of it (protocol `SignalSource`).

    Only the first one counts: a second one would end the process, which is not the run's.
    """

    def __init__(self) -> None:
        self._given: signal.Signals | None = None
        self._handlers: list[Callable[[signal.Signals], None]] = []
        # A garbage collection may give a signal, also while this very thread holds the lock.
        self._lock = threading.RLock()

    def give(self, number: signal.Signals) -> None:
        """Give a signal to whoever handles them now, or will. May be called from any thread."""
        with self._lock:
            if self._given is None:
                self._given = number
                for handle in self._handlers:
                    handle(number)

    @property
    def was_given(self) -> bool:
        """Tell whether a signal was given."""
        return self._given is not None

    @contextmanager
    def handled(
        self, handle: Callable[[signal.Signals], None], numbers: tuple[signal.Signals, ...]
    ) -> Iterator[None]:
        """Call `handle` for the signal, also if it was given before."""
        with self._lock:
            self._handlers.append(handle)
            if self._given in numbers:
                handle(self._given)
        try:
            yield
        finally:
            with self._lock:
                self._handlers.remove(handle)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let the first signal raise `SignalExit`, and the second end the process at once."""
    arrived: list[signal.Signals] = []

    def raise_exit(number: signal.Signals) -> None:
        if arrived:
            _exit_now(number)
        arrived.append(number)
        raise SignalExit(number)

    with PROCESS_SIGNALS.handled(raise_exit, stop_signals()):
        yield


@contextmanager
def handled_signals(
    handle: Callable[[signal.Signals], None],
    *numbers: signal.Signals,
    source: SignalSource = PROCESS_SIGNALS,
) -> Iterator[None]:
    """Call `handle` on the running loop for these signals, or for those that end a command."""
    from asyncio import get_running_loop  # late: -h does without

    loop = get_running_loop()

    def hand_over(number: signal.Signals) -> None:
        loop.call_soon_threadsafe(handle, number)

    with source.handled(hand_over, numbers or stop_signals()):
        yield


@contextmanager
def signals_stop(stop: Stop, source: SignalSource) -> Iterator[None]:
    """Let the first signal ask a run to stop, and the second end the process at once."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    arrived: list[signal.Signals] = []

    def request_stop(number: signal.Signals) -> None:
        if arrived:
            _exit_now(number)
        arrived.append(number)
        loop.call_soon_threadsafe(stop.request, _REASONS[number])

    with source.handled(request_stop, stop_signals()):
        yield


class SignalWatch:
    """Signals that arrived while nothing could be lost by them."""

    def __init__(self) -> None:
        from asyncio import Event

        self.event = Event()
        self.number: signal.Signals | None = None

    def note(self, number: signal.Signals) -> None:
        """Remember the first signal, and set the event for each."""
        self.number = self.number or number
        self.event.set()

    def raise_for_signal(self) -> None:
        """Raise `Interrupted`, `Terminated` or `HungUp` if a signal arrived."""
        if self.number is not None:
            raise error_of(self.number, " while waiting; nothing was done")


@contextmanager
def signals_noted(source: SignalSource = PROCESS_SIGNALS) -> Iterator[SignalWatch]:
    """Note the signals that end a command instead of ending it."""
    watch = SignalWatch()
    with handled_signals(watch.note, source=source):
        yield watch
