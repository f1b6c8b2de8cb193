"""The simulated queue against a naive model, and at a size that makes walking it slow."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.sandbox.remote_queue import RemoteQueue, Ticket, TicketState

SUBMIT, CANCEL, LEAP = "submit", "cancel", "leap"
steps = st.lists(
    st.one_of(
        st.tuples(st.just(SUBMIT), st.tuples(st.integers(0, 8), st.integers(0, 5))),
        st.tuples(st.just(CANCEL), st.integers(0, 40)),
        st.tuples(st.just(LEAP), st.integers(0, 6)),
    ),
    max_size=60,
)


class NaiveQueue:
    """The same promises with plain lists, one unit of time after the other."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.now = 0
        self.jobs: list[dict[str, int | str]] = []

    def settle(self) -> None:
        changed = True
        while changed:
            changed = False
            for job in self.jobs:
                if job["state"] == "in_progress" and int(job["end"]) <= self.now:
                    job["state"], changed = "completed", True
            changed = self.start_next() or changed

    def start_next(self) -> bool:
        started = False
        running = sum(job["state"] == "in_progress" for job in self.jobs)
        for job in self.jobs:
            if job["state"] == "in_queue":
                if running >= self.capacity or int(job["ready"]) > self.now:
                    break
                job["state"], job["end"] = "in_progress", self.now + int(job["duration"])
                running, started = running + 1, True
        return started

    def leap(self, by: int) -> None:
        for _ in range(by):
            self.now += 1
            self.settle()

    def submit(self, duration: int, wait: int) -> None:
        ready = self.now + wait
        self.jobs.append({"duration": duration, "ready": ready, "state": "in_queue", "end": 0})
        self.start_next()  # a job of no length ends at the next call, not while it is submitted

    def cancel(self, index: int) -> bool:
        if self.jobs[index]["state"] != "in_queue":
            return False
        self.jobs[index]["state"] = "cancelled"
        return True

    def position(self, index: int) -> int | None:
        if self.jobs[index]["state"] != "in_queue":
            return None
        return 1 + sum(job["state"] == "in_queue" for job in self.jobs[:index])


@given(steps=steps, capacity=st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_agrees_with_a_naive_list(steps: list[tuple[str, Any]], capacity: int) -> None:
    """After any submissions, cancellations and leaps, states and positions are the naive ones."""
    queue, naive = RemoteQueue(capacity), NaiveQueue(capacity)
    tickets: list[Ticket] = []
    for step, number in steps:
        naive.settle()
        if step == SUBMIT:
            duration, wait = number
            tickets.append(queue.submit(duration, naive.now, wait))
            naive.submit(duration, wait)
        elif step == LEAP:
            naive.leap(number)
        elif tickets:
            index = number % len(tickets)
            assert queue.cancel(tickets[index], naive.now) == naive.cancel(index)
        queue.advance(naive.now)
        naive.settle()
        assert [ticket.state for ticket in tickets] == [job["state"] for job in naive.jobs]
        positions = [queue.position(ticket) for ticket in tickets]
        assert positions == [naive.position(index) for index in range(len(tickets))]
        in_flight = sum(state in ("in_queue", "in_progress") for state in map(_state, tickets))
        assert queue.in_flight == in_flight
        assert queue.in_flight <= queue.peak
        assert queue.running <= capacity


def _state(ticket: Ticket) -> str:
    return ticket.state.value


@given(leaps=st.lists(st.floats(0, 3), max_size=8))
def test_one_leap_is_many_small_ones(leaps: list[float]) -> None:
    """Start and end of jobs do not depend on how often the queue is advanced."""
    often, once = RemoteQueue(2), RemoteQueue(2)
    jobs = [(1.0, 0.0), (0.5, 0.75), (2.0, 0.0), (0.25, 3.0), (1.5, 1.0)]
    pairs = [(often.submit(d, 0.0, w), once.submit(d, 0.0, w)) for d, w in jobs]
    now = 0.0
    for leap in leaps:
        now += leap
        often.advance(now)
    once.advance(now)
    for one, other in pairs:
        assert (one.state, one.finished_at) == (other.state, other.finished_at)


def test_time_never_runs_backwards() -> None:
    """A clock that is set back changes nothing that has happened."""
    queue = RemoteQueue(1)
    first = queue.submit(5.0, now=100.0)
    queue.advance(106.0)
    queue.advance(50.0)
    second = queue.submit(5.0, now=50.0)
    assert first.state is TicketState.COMPLETED
    assert second.finished_at == 111.0


def test_ten_thousand_waiting_are_no_burden() -> None:
    """Submitting, asking for and cancelling among 20,000 in flight stays far from quadratic."""
    queue = RemoteQueue(16)
    begin = time.process_time()
    tickets = [queue.submit(10.0, 0.0) for _ in range(20_000)]
    assert [queue.position(ticket) for ticket in tickets[16:]] == list(range(1, 19_985))
    for ticket in reversed(tickets[1000::2]):
        assert queue.cancel(ticket, 1.0)
    assert queue.position(tickets[-1]) == 984 + 9_500
    queue.advance(1e9)
    assert queue.in_flight == 0
    assert queue.peak == 20_000
    # One walk over the line for each of these calls would be some 400 million steps.
    assert time.process_time() - begin < 5
