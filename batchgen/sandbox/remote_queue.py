"""The queue of the simulated service: first in, first out, with a limit on jobs that run at once.

A job may have to wait for some time although nothing else runs; those behind it wait too.

Pure: no loop and no clock. `now` is seconds on any scale, always the same one; a `now` before an
earlier one counts as that earlier one, so that the queue never runs backwards.

No operation walks the queue: tickets are numbered as they come, so that those that wait are sorted,
and a position is found by bisection.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from operator import attrgetter


class TicketState(StrEnum):
    """The four states of `/status`, in the API's words."""

    IN_QUEUE = "in_queue"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Ticket:
    """One job in the queue; belongs to the queue that made it."""

    number: int
    """Of all tickets of its queue, from 0."""
    duration_s: float
    ready_at: float
    """It does not start before this time."""
    state: TicketState = TicketState.IN_QUEUE
    finished_at: float | None = None
    """The time of its end, past or to come; None while it waits."""


class RemoteQueue:
    """A queue in front of a service that runs `capacity` jobs at once."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.now = float("-inf")
        self.peak = 0
        """The most tickets that ever were in flight (waiting or running) at once."""
        self._running: list[tuple[float, int, Ticket]] = []
        self._waiting: list[Ticket] = []
        self._submitted = 0

    @property
    def running(self) -> int:
        """The number of running tickets, as of the last `advance`."""
        return len(self._running)

    @property
    def in_flight(self) -> int:
        """The number of waiting and running tickets, as of the last `advance`."""
        return self.running + len(self._waiting)

    def advance(self, now: float) -> None:
        """Start and end all jobs that are due at `now`, each at its own time."""
        now, moment = max(now, self.now), self.now
        while True:
            start = self._next_start(moment)
            if self._running and self._running[0][0] <= min(now, start):
                moment, _, ticket = heappop(self._running)
                ticket.state = TicketState.COMPLETED
            elif start <= now:
                moment = start
                self._start(self._waiting.pop(0), moment)
            else:
                break
        self.now = now

    def submit(self, duration_s: float, now: float, wait_s: float = 0.0) -> Ticket:
        """Add a job that runs for `duration_s` seconds once it is started.

        It waits in the queue for at least `wait_s`.
        """
        self.advance(now)
        ticket = Ticket(self._submitted, duration_s, self.now + wait_s)
        self._submitted += 1
        self._waiting.append(ticket)
        self.peak = max(self.peak, self.in_flight)
        if self._next_start(self.now) <= self.now:
            self._start(self._waiting.pop(0), self.now)
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Take a waiting job out of the queue; return False if it no longer waits."""
        self.advance(now)
        if ticket.state is not TicketState.IN_QUEUE:
            return False
        del self._waiting[self._index(ticket)]
        ticket.state = TicketState.CANCELLED
        ticket.finished_at = self.now
        return True

    def position(self, ticket: Ticket) -> int | None:
        """Return the position among waiting tickets, 1 for the next; None if it does not wait."""
        return self._index(ticket) + 1 if ticket.state is TicketState.IN_QUEUE else None

    def _index(self, ticket: Ticket) -> int:
        return bisect_left(self._waiting, ticket.number, key=attrgetter("number"))

    def _next_start(self, moment: float) -> float:
        """Return the time at which the next waiting job starts if nothing ends before; or inf."""
        if not self._waiting or len(self._running) >= self.capacity:
            return float("inf")
        return max(moment, self._waiting[0].ready_at)

    def _start(self, ticket: Ticket, at: float) -> None:
        ticket.state = TicketState.IN_PROGRESS
        ticket.finished_at = at + ticket.duration_s
        # The number keeps the order of equal times, and keeps tickets from being compared.
        heappush(self._running, (ticket.finished_at, ticket.number, ticket))
