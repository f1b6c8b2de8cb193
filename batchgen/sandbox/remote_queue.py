"""The queue of the simulated service: first in, first out, with a limit on jobs that run at once.

A job may have to wait for some time although nothing else runs; those behind it wait too.

Pure: no loop and no clock. `now` is seconds on any scale, always the same one; a `now` before an
earlier one counts as that earlier one, so that the queue never runs backwards.

No operation walks the queue. A waiting ticket knows its place among all tickets that ever waited;
its position is the distance to the first that still waits, less the cancelled ones between the two.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush


class TicketState(StrEnum):
    """The four states of `/status`, in the API's words."""

    IN_QUEUE = "in_queue"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Ticket:
    """One job in the queue; belongs to the queue that made it."""

    duration_s: float
    submitted_at: float
    ready_at: float
    """It does not start before this time."""
    state: TicketState = TicketState.IN_QUEUE
    place: int = -1
    """Among all tickets, from 0."""
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
        self._started = 0
        self._waiting: deque[Ticket] = deque()
        """May hold cancelled tickets, which are skipped when their turn comes."""
        self._first_place = 0
        """The place of the first ticket in `_waiting`."""
        self._cancelled: list[int] = []
        """The places of cancelled tickets in `_waiting`, sorted."""

    @property
    def running(self) -> int:
        """The number of running tickets, as of the last `advance`."""
        return len(self._running)

    @property
    def in_flight(self) -> int:
        """The number of waiting and running tickets, as of the last `advance`."""
        return self.running + len(self._waiting) - len(self._cancelled)

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
                self._start(self._waiting.popleft(), moment)
                self._first_place += 1
            else:
                break
        self.now = now

    def submit(self, duration_s: float, now: float, wait_s: float = 0.0) -> Ticket:
        """Add a job that runs for `duration_s` seconds once it is started.

        It waits in the queue for at least `wait_s`.
        """
        self.advance(now)
        ticket = Ticket(duration_s, self.now, self.now + wait_s)
        ticket.place = self._first_place + len(self._waiting)
        self._waiting.append(ticket)
        self.peak = max(self.peak, self.in_flight)
        if self._next_start(self.now) <= self.now:
            self._start(self._waiting.popleft(), self.now)
            self._first_place += 1
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Take a waiting job out of the queue; return False if it no longer waits."""
        self.advance(now)
        if ticket.state is not TicketState.IN_QUEUE:
            return False
        ticket.state = TicketState.CANCELLED
        ticket.finished_at = self.now
        insort(self._cancelled, ticket.place)
        return True

    def position(self, ticket: Ticket) -> int | None:
        """Return the position among waiting tickets, 1 for the next; None if it does not wait."""
        if ticket.state is not TicketState.IN_QUEUE:
            return None
        return ticket.place - self._first_place + 1 - bisect_left(self._cancelled, ticket.place)

    def _next_start(self, moment: float) -> float:
        """Return the time at which the next waiting job starts if nothing ends before; or inf."""
        while self._waiting and self._waiting[0].state is TicketState.CANCELLED:
            # No place of `_waiting` is lower than that of this cancelled ticket.
            self._waiting.popleft()
            self._first_place += 1
            del self._cancelled[0]
        if not self._waiting or len(self._running) >= self.capacity:
            return float("inf")
        return max(moment, self._waiting[0].ready_at)

    def _start(self, ticket: Ticket, at: float) -> None:
        ticket.state = TicketState.IN_PROGRESS
        ticket.finished_at = at + ticket.duration_s
        # The counter keeps the order of equal times, and keeps tickets from being compared.
        heappush(self._running, (ticket.finished_at, self._started, ticket))
        self._started += 1
