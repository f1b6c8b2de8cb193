"""The remote queue: first in, first out, so many at once, each for its own time.

Pure: no loop and no clock. `now` is seconds on any scale that the caller keeps to; a `now` that
lies before an earlier one counts as that earlier one, so the queue never runs backwards.

Nothing here walks the queue. A waiting ticket knows its place in the line of all tickets that ever
waited; its position is the distance to the head of the line, less the cancelled between the two.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush


class TicketState(StrEnum):
    """The four states that the API shows; its words on `/status`."""

    IN_QUEUE = "in_queue"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Ticket:
    """One job in the queue; belongs to the queue that made it."""

    duration_s: float
    submitted_at: float
    state: TicketState = TicketState.IN_QUEUE
    place: int = -1
    """In the line of all tickets that ever waited, from 0; -1: never had to wait."""
    finished_at: float | None = None
    """When it ends or ended; None while it waits."""


class RemoteQueue:
    """A queue in front of `capacity` machines."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.now = float("-inf")
        self.peak = 0
        """The most tickets that ever were in flight (waiting or running) at once."""
        self._running: list[tuple[float, int, Ticket]] = []
        self._started = 0
        self._line: deque[Ticket] = deque()
        self._head = 0
        self._tail = 0
        self._cancelled: list[int] = []

    @property
    def running(self) -> int:
        """Tickets that run, as of the last `advance`."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Tickets that wait, as of the last `advance`."""
        return len(self._line) - len(self._cancelled)

    @property
    def in_flight(self) -> int:
        """Tickets that wait or run, as of the last `advance`."""
        return self.running + self.waiting

    def advance(self, now: float) -> None:
        """Let everything happen that is due at `now`, each at its own time."""
        now = max(now, self.now)
        while self._running and self._running[0][0] <= now:
            finished_at, _, ticket = heappop(self._running)
            ticket.state = TicketState.COMPLETED
            self._start_next(finished_at)
        self.now = now

    def submit(self, duration_s: float, now: float) -> Ticket:
        """Add a job that will run for `duration_s` seconds once its turn comes."""
        self.advance(now)
        ticket = Ticket(duration_s, self.now)
        if len(self._running) < self.capacity:
            self._start(ticket, self.now)
        else:
            ticket.place = self._tail
            self._tail += 1
            self._line.append(ticket)
        self.peak = max(self.peak, self.in_flight)
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Take a waiting job out of the queue; False where it no longer waits."""
        self.advance(now)
        if ticket.state is not TicketState.IN_QUEUE:
            return False
        ticket.state = TicketState.CANCELLED
        ticket.finished_at = self.now
        insort(self._cancelled, ticket.place)
        return True

    def position(self, ticket: Ticket) -> int | None:
        """Its place among those that wait, 1 being the next to run; None where it does not wait."""
        if ticket.state is not TicketState.IN_QUEUE:
            return None
        return ticket.place - self._head + 1 - bisect_left(self._cancelled, ticket.place)

    def _start_next(self, at: float) -> None:
        while self._line:
            ticket = self._line.popleft()
            self._head += 1
            if ticket.state is TicketState.IN_QUEUE:
                self._start(ticket, at)
                return
            # Its place lies behind the head now; in a sorted list that is the first one.
            del self._cancelled[0]

    def _start(self, ticket: Ticket, at: float) -> None:
        ticket.state = TicketState.IN_PROGRESS
        ticket.finished_at = at + ticket.duration_s
        # The counter keeps the order of equal times, and keeps tickets from being compared.
        heappush(self._running, (ticket.finished_at, self._started, ticket))
        self._started += 1
