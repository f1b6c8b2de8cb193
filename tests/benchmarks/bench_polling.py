"""Calls and lag of the learned polls, compared with fixed polling every 2 s and with a bound.

    python -m tests.benchmarks.bench_polling [--jobs 2000] [--no-sandbox]

First in virtual time: the poller of a run against an API in memory, thousands of jobs for each
kind of durations. Then over HTTP against sandboxes in real time, all at once and everything ten
times as fast.

calls   HTTP calls a job, its POST included
lag     from the end of a job at the server until the ledger had it; also as a share of the job's
        own time from acceptance to end
best    the least mean lag that any schedule reaches with as many calls, see `best_lag_s`

The first 20 jobs of each run are left out: they are what is learned from.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from pathlib import Path

from batchgen.api.client import ModelAPI
from batchgen.core.api_answers import (
    CancelOutcome,
    Ended,
    PollAnswer,
    Produced,
    Queued,
    Running,
    SubmitAnswer,
    Submitted,
)
from batchgen.core.api_base import parse_base_url
from batchgen.core.events import Accepted, Event, Intended, Succeeded
from batchgen.core.jobs import Job
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord
from batchgen.core.polling.forecast import Forecast, Forecasts, PollObservations
from batchgen.core.polling.poll_plan import PollPlan, cheapest_polls
from batchgen.core.secret import Secret
from batchgen.ledger.run_ledger import RunLedger
from batchgen.ports import Clock, GenerationAPI, Ledger
from batchgen.runner.context import RunContext
from batchgen.runner.poller import InFlightJob, Poller
from batchgen.runner.stopping import Limits
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.sandbox.remote_queue import RemoteQueue as SandboxQueue
from batchgen.sandbox.remote_queue import Ticket, TicketState
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.fakes import MemoryLedger, job
from tests.kit.time import LoopClock, leap

LEARNING = 20
FIXED_S = 2.0
SPEED = 10.0
"""The sandbox runs so many times faster than virtual time."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Jobs of one kind."""

    name: str
    draw_s: Callable[[random.Random], float]
    concurrency: int = 16
    capacity: int = 100_000
    jobs: int | None = None


def _narrow(dice: random.Random) -> float:
    return dice.uniform(16.0, 24.0)


def _even(dice: random.Random) -> float:
    return dice.uniform(5.0, 60.0)


def _bimodal(dice: random.Random) -> float:
    return dice.uniform(4.0, 6.0) if dice.random() < 0.7 else dice.uniform(50.0, 70.0)


def _heavy(dice: random.Random) -> float:
    return min(dice.lognormvariate(2.3, 1.0), 600.0)


CASES = (
    Case(name="narrow, 20 s +-20 %", draw_s=_narrow),
    Case(name="even, 5 to 60 s", draw_s=_even),
    Case(name="two kinds, 5 s and 60 s", draw_s=_bimodal),
    Case(name="heavy tail, median 10 s", draw_s=_heavy),
    Case(name="a queue, 32 jobs on 8 machines", draw_s=_narrow, concurrency=32, capacity=8),
    Case(name="800 at once on 32 machines", draw_s=_narrow, concurrency=800, capacity=32,
         jobs=800),
)  # fmt: skip


class FixedPolling(Forecast):
    """Polling as most clients do it: `status` at fixed intervals, `result` at the end."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s

    def may_have_ended(self, seen: PollObservations, age_s: float) -> bool:
        return False

    def next_delay_s(
        self, seen: PollObservations, age_s: float, polls: int, *, jitter: float
    ) -> float:
        return self._every_s if polls else 0.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one run of a case."""

    calls: float
    lag_s: float
    share: float
    """Mean of lag / duration."""


@dataclass
class Watcher:
    """An observer of when each request was learned to have ended."""

    clock: Callable[[], float]
    learned: dict[str, float] = field(default_factory=dict)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        if isinstance(event, Succeeded) and record.request_id:
            self.learned[record.request_id] = self.clock()

    def on_note(self, text: str) -> None: ...


@dataclass
class RemoteQueue:
    """A `GenerationAPI` in virtual time over the sandbox's queue; counts calls by request."""

    queue: SandboxQueue
    draw_s: Callable[[], float]
    answer_s: float = 0.02
    tickets: dict[str, Ticket] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        await asyncio.sleep(self.answer_s)
        name = f"r{len(self.tickets)}"
        self.tickets[name] = self.queue.submit(self.draw_s(), asyncio.get_running_loop().time())
        self.calls[name] += 1
        return Submitted(request_id=name)

    async def status(self, request_id: str) -> PollAnswer:
        ticket = await self._ask(request_id)
        if ticket.state is TicketState.IN_QUEUE:
            return Queued(position=self.queue.position(ticket))
        return Running() if ticket.state is TicketState.IN_PROGRESS else Ended()

    async def result(self, request_id: str) -> PollAnswer:
        ticket = await self._ask(request_id)
        if ticket.state is TicketState.COMPLETED:
            return Produced(outputs=("https://files.runcomfy.net/a.png",))
        return Queued() if ticket.state is TicketState.IN_QUEUE else Running()

    async def has_model(self, model: str) -> bool | None:
        return True

    async def accepts_token(self, model: str) -> bool | None:
        return True

    async def cancel(self, request_id: str) -> CancelOutcome:
        return CancelOutcome.NOT_CANCELLABLE

    async def _ask(self, request_id: str) -> Ticket:
        self.calls[request_id] += 1
        await asyncio.sleep(self.answer_s / 2)
        self.queue.advance(asyncio.get_running_loop().time())
        await asyncio.sleep(self.answer_s / 2)
        return self.tickets[request_id]


def simulate(case: Case, jobs: int, every_s: float | None) -> Measured:
    """Measure a run in virtual time; `every_s` for fixed polling, None for the learned polls."""
    dice = random.Random(11)
    remote = RemoteQueue(SandboxQueue(case.capacity), lambda: case.draw_s(dice))

    async def play() -> Watcher:
        watcher = Watcher(asyncio.get_running_loop().time)
        await _run(case, jobs, every_s, remote, MemoryLedger(), LoopClock(), watcher)
        return watcher

    watcher = leap(play())
    return _measured(remote.tickets, remote.calls, watcher.learned)


async def _run(
    case: Case, jobs: int, every_s: float | None, api: GenerationAPI, ledger: Ledger,
    clock: Clock, watcher: Watcher,
) -> None:  # fmt: skip
    """Do as the runner does: so many in flight, and each job polled when the poller says."""
    forecasts = Forecasts()
    if every_s is not None:
        forecasts._of[MODEL] = FixedPolling(every_s)
    context = RunContext(
        api=api, ledger=ledger, clock=clock, observer=watcher, limits=Limits(),
        jitter=random.Random(5).random,
    )  # fmt: skip
    poller = Poller(context, forecasts)
    slots = asyncio.Semaphore(case.concurrency)

    async def submit_and_poll(one: Job) -> None:
        async with slots:
            intent = Intended(model=one.model, input=one.input, fingerprint=one.fingerprint)
            await ledger.record(one.id, intent)
            answer = await api.submit(one.model, one.input)
            assert isinstance(answer, Submitted)
            record = await ledger.record(one.id, Accepted(request_id=answer.request_id))
            in_flight = InFlightJob(
                record=record, row=one, accepted_at_s=clock.monotonic_s(), give_up_at_s=inf
            )
            delay_s: float | None = poller.first_delay_s(in_flight)
            while delay_s is not None:
                await clock.sleep(delay_s)
                delay_s = await poller.poll(in_flight)

    await asyncio.gather(*(submit_and_poll(job(f"j{n}", f"prompt {n}")) for n in range(jobs)))


def _measured(
    tickets: Mapping[str, Ticket], calls: Mapping[str, int], learned: Mapping[str, float]
) -> Measured:
    lags, shares, counts = [], [], []
    for name in list(tickets)[LEARNING:]:
        ticket = tickets[name]
        assert ticket.finished_at is not None
        lag_s = learned[name] - ticket.finished_at
        lags.append(lag_s)
        shares.append(lag_s / (ticket.finished_at - ticket.ready_at))
        counts.append(calls[name])
    return Measured(
        calls=statistics.mean(counts), lag_s=statistics.mean(lags), share=statistics.mean(shares)
    )


def best_lag_s(low_s: float, high_s: float, polls: float) -> float:
    """Return the least mean lag of any schedule with so many expected polls, for even durations.

    It knows the distribution and needs one call for a poll. For each price of a second of lag,
    dynamic programming over ages of 0.1 s finds the schedule that costs least; it is the one with
    the least lag among all with as many polls. As the price goes up these schedules trace the
    lower convex hull of everything that is possible, and between two of them a schedule that
    tosses a coin is on the line; so no schedule is below it.
    """
    size = round((high_s - low_s) / 0.1)
    ages_s = [0.0, *(low_s + (high_s - low_s) * n / size for n in range(size + 1))]
    mass = [0.0, *([1 / size] * size)]
    hull = [_polls_and_lag(cheapest_polls(ages_s, mass, lag_calls_per_s=1.25**n / 50), mass)
            for n in range(40)]  # fmt: skip
    for (fewer, later_s), (more, sooner_s) in pairwise(hull):
        if fewer <= polls <= more and more > fewer:
            return later_s + (sooner_s - later_s) * (polls - fewer) / (more - fewer)
    raise ValueError(f"no schedule with {polls} polls was computed")


def _polls_and_lag(plan: PollPlan, mass: list[float]) -> tuple[float, float]:
    at, polls, lag_s = 0, 0.0, 0.0
    while at < len(mass):
        following = plan.following[at]
        polls += plan.alive[at]
        for cell in range(at, following):
            middle_s = (plan.ages_s[cell] + plan.ages_s[cell + 1]) / 2
            lag_s += mass[cell] * (plan.ages_s[following] - middle_s)
        at = following
    return polls, lag_s


class Counted:
    """The real client; counts calls by request."""

    def __init__(self, api: ModelAPI) -> None:
        self._api = api
        self.calls: Counter[str] = Counter()

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        answer = await self._api.submit(model, values)
        if isinstance(answer, Submitted):
            self.calls[answer.request_id] += 1
        return answer

    async def status(self, request_id: str) -> PollAnswer:
        self.calls[request_id] += 1
        return await self._api.status(request_id)

    async def result(self, request_id: str) -> PollAnswer:
        self.calls[request_id] += 1
        return await self._api.result(request_id)

    async def has_model(self, model: str) -> bool | None:
        return await self._api.has_model(model)

    async def accepts_token(self, model: str) -> bool | None:
        return await self._api.accepts_token(model)

    async def cancel(self, request_id: str) -> CancelOutcome:
        return await self._api.cancel(request_id)


async def over_http(case: Case, low_s: float, high_s: float, every_s: float | None) -> Measured:
    """Measure a run over HTTP against the sandbox, with a real ledger, in real time."""
    config = SandboxConfig(
        duration_min_s=low_s / SPEED, duration_max_s=high_s / SPEED, capacity=case.capacity
    )
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as directory:
        async with Sandbox(config) as sandbox:
            base = parse_base_url(sandbox.base_url)
            ledger = RunLedger.open(Path(directory), api=base.origin, clock=clock)
            watcher = Watcher(time.time)
            async with ModelAPI(base, Secret(sandbox.token), clock=clock) as api:
                counted = Counted(api)
                await _run(case, case.jobs or 200, every_s, counted, ledger, clock, watcher)
            await ledger.close()
            tickets = {r.request_id: r.ticket for r in sandbox.audit.book.requests.values()}
    return _measured(tickets, counted.calls, watcher.learned)


HTTP_CASES = (
    (Case(name="narrow", draw_s=_narrow, jobs=240), 16.0, 24.0),
    (Case(name="even", draw_s=_even, jobs=240), 5.0, 60.0),
    (Case(name="a queue", draw_s=_narrow, capacity=8, jobs=120), 16.0, 24.0),
)


async def rows_of_sandbox() -> list[list[str]]:
    """Measure three cases over HTTP, fixed and learned."""
    found = await asyncio.gather(
        *(
            over_http(case, low_s, high_s, every_s)
            for case, low_s, high_s in HTTP_CASES
            for every_s in (FIXED_S / SPEED, None)
        )
    )
    return [
        _row(replace(case, name=f"sandbox /{SPEED:.0f}: {case.name}, {low_s:g} to {high_s:g} s"),
             fixed, learned, scale=SPEED)
        for (case, low_s, high_s), fixed, learned in zip(
            HTTP_CASES, found[::2], found[1::2], strict=True
        )
    ]  # fmt: skip


def rows_in_virtual_time(jobs: int) -> Iterable[list[str]]:
    """Measure every case."""
    for case in CASES:
        fixed = simulate(case, case.jobs or jobs, FIXED_S)
        yield _row(case, fixed, simulate(case, case.jobs or jobs, None))


HEADER = ["durations", "2 s: calls", "lag", "", "learned: calls", "lag", "", "best lag", "ratio"]
WIDTHS = [36, 10, 8, 7, 14, 8, 7, 8, 6]


def _row(case: Case, fixed: Measured, learned: Measured, *, scale: float = 1.0) -> list[str]:
    row = [case.name]
    for found in (fixed, learned):
        row += [f"{found.calls:.2f}", f"{found.lag_s * scale:.2f} s", f"{found.share:.1%}"]
    if case.draw_s is not _even:
        return [*row, "", ""]
    best_s = best_lag_s(5.0, 60.0, learned.calls - 1)
    return [*row, f"{best_s:.2f} s", f"{learned.lag_s * scale / best_s:.2f}"]


def _print(row: list[str]) -> None:
    cells = zip(row, WIDTHS, strict=True)
    text = "  ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(cells))
    print(text, flush=True)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--no-sandbox", action="store_true")
    args = parser.parse_args()
    _print(HEADER)
    for row in rows_in_virtual_time(args.jobs):
        _print(row)
    if not args.no_sandbox:
        for row in asyncio.run(rows_of_sandbox()):
            _print(row)


if __name__ == "__main__":
    main()
