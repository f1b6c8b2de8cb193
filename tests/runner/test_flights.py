"""Looks at accepted jobs, in virtual time: what they cost, and what they can never do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.api_answers import Ended, Gone, PollAnswer, Produced, Queued, Running, TryAgain
from batchgen.core.events import Accepted, Intended, JobError
from batchgen.core.lifecycle import JobState
from batchgen.core.polling.forecast import Forecasts
from batchgen.runner import Limits
from batchgen.runner.context import RunContext
from batchgen.runner.poll_loop import PollSchedule
from batchgen.runner.poller import InFlightJob, Poller, ResultFirst
from tests.kit.fakes import MODEL, MemoryAPI, MemoryLedger, Notes, job
from tests.kit.time import LoopClock, leap

DONE = Produced(outputs=("https://files.runcomfy.net/a.png",))


@dataclass
class Remote(MemoryAPI):
    """Jobs of a set duration whose `result` tells the state, as the API documents it."""

    ends_s: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    unfinished: Callable[[], PollAnswer] = Running

    async def status(self, request_id: str) -> PollAnswer:
        self.calls["status"] += 1
        await asyncio.sleep(self.answer_s)
        return Ended() if self._ended(request_id) else Running()

    async def result(self, request_id: str) -> PollAnswer:
        self.calls["result"] += 1
        await asyncio.sleep(self.answer_s)
        return DONE if self._ended(request_id) else self.unfinished()

    def _ended(self, request_id: str) -> bool:
        return asyncio.get_running_loop().time() >= self.ends_s[request_id]


@dataclass
class Sky:
    """A lookout with a remote side and a ledger in memory."""

    api: Remote = field(default_factory=Remote)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    notes: Notes = field(default_factory=Notes)
    forecasts: Forecasts = field(default_factory=Forecasts)

    def __post_init__(self) -> None:
        self.clock = LoopClock()

    def lookout(self) -> Poller:
        context = RunContext(
            api=self.api, ledger=self.ledger, clock=self.clock, observer=self.notes,
            limits=Limits(), jitter=random.Random(1).random,
        )  # fmt: skip
        return Poller(context, self.forecasts)

    async def flight(self, name: str, duration_s: float, *, resumed: bool = False) -> InFlightJob:
        one = job(name, name)
        intent = Intended(model=one.model, input=one.input, fingerprint=one.fingerprint)
        await self.ledger.record(name, intent)
        record = await self.ledger.record(name, Accepted(request_id=name))
        now_s = self.clock.monotonic_s()
        self.api.ends_s[name] = now_s + duration_s
        return InFlightJob(
            record=record, row=one, accepted_at_s=now_s, give_up_at_s=now_s + 900, resumed=resumed
        )

    async def land(self, lookout: Poller, flight: InFlightJob) -> float:
        """Look until it has ended; how late that was learned."""
        delay_s: float | None = lookout.first_delay_s(flight)
        while delay_s is not None:
            await self.clock.sleep(delay_s)
            delay_s = await lookout.poll(flight)
        return self.clock.monotonic_s() - self.api.ends_s[flight.record.request_id or ""]

    def play(self, durations: list[float]) -> list[float]:
        """One job after another; the lags in seconds."""

        async def story() -> list[float]:
            lookout = self.lookout()
            return [
                await self.land(lookout, await self.flight(f"j{n}", duration_s))
                for n, duration_s in enumerate(durations)
            ]

        return leap(story())


def narrow(count: int) -> list[float]:
    dice = random.Random(2)
    return [dice.uniform(16.0, 24.0) for _ in range(count)]


def test_narrow_durations_cost_few_calls_and_little_lag() -> None:
    """Within 20 % of their mean: at most 6 calls a job and 5 % lag after the first 20 jobs."""
    sky = Sky()
    lags: list[float] = []

    async def story() -> int:
        lookout, early = sky.lookout(), 0
        for n, duration_s in enumerate(narrow(220)):
            early = sky.api.calls.total() if n == 20 else early
            lag_s = await sky.land(lookout, await sky.flight(f"j{n}", duration_s))
            lags.append(lag_s / duration_s)
        return early

    early = leap(story())

    calls = 1 + (sky.api.calls.total() - early) / 200
    assert calls <= 5.6
    assert sum(lags[20:]) / 200 < 0.045


def test_an_instant_model_needs_two_calls_a_job() -> None:
    """Once it is known that jobs end at once, the result is asked first, and at once."""
    sky = Sky()

    sky.play([0.0] * 100)

    assert sky.api.calls["status"] == 3
    assert sky.api.calls["result"] == 100


def test_unfinished_results_that_are_errors_send_the_run_back_to_status() -> None:
    """Three errors where the status says `running`: from then on only ended jobs are fetched."""
    error = TryAgain(error=JobError(kind="lost_answer", message="not ready", http_status=409))
    sky = Sky(api=Remote(unfinished=lambda: error))

    sky.play(narrow(60))

    assert sky.api.calls["result"] <= 60 + 3 + 1
    assert set(sky.ledger.states().values()) == {"completed"}


def test_an_outage_does_not_end_the_shortcut_of_a_server_that_knows_it() -> None:
    """Where an unfinished result was answered before, errors are errors; elsewhere three end it."""
    known, unknown = ResultFirst(), ResultFirst()
    known.answered()

    for _ in range(3):
        known.failed()
        assert unknown.allowed
        unknown.failed()

    assert (known.allowed, unknown.allowed) == (True, False)


def test_a_result_that_is_not_there_yet_loses_no_job() -> None:
    """A server that knows no unfinished result is asked for the status before a job is lost."""
    gone = Gone(error=JobError(kind="expired", message="no such result"))
    sky = Sky(api=Remote(unfinished=lambda: gone))

    sky.play(narrow(40))

    assert sky.api.calls["result"] <= 40 + 3
    assert set(sky.ledger.states().values()) == {"completed"}


def test_a_failing_look_backs_off_and_fails_nothing() -> None:
    """Errors first under a second, then up to 30 s apart; the job stays in flight."""
    failing = TryAgain(error=JobError(kind="lost_answer", message="504", http_status=504))
    delays: list[float] = []
    sky = Sky()

    async def story() -> JobState:
        flight = await sky.flight("j0", 10.0)
        lookout = sky.lookout()

        async def no_answer(request_id: str) -> PollAnswer:
            return failing

        sky.api.status = no_answer  # type: ignore[method-assign]
        for _ in range(12):
            delay_s = await lookout.poll(flight)
            assert delay_s is not None
            delays.append(delay_s)
        return flight.record.state

    assert leap(story()) is JobState.IN_QUEUE
    assert delays[0] < 1.0
    assert 15.0 <= delays[-1] <= 30.0


def test_what_an_earlier_run_left_is_looked_at_at_once_and_teaches_nothing() -> None:
    """It may have ended hours ago: then its age is no duration."""
    sky = Sky()
    sky.forecasts.of(MODEL).whole.seed([20.0] * 5)

    async def story() -> float:
        flight = await sky.flight("old", -5.0, resumed=True)
        flight.accepted_at_s -= 7200.0
        return await sky.land(sky.lookout(), flight)

    assert leap(story()) < 5.1
    assert len(sky.forecasts.of(MODEL).whole) == 5


def test_history_spares_the_first_job_its_looks() -> None:
    """Seeded from the ledger, the very first job of a slow model is not looked at at once."""
    sky = Sky()
    sky.forecasts.of(MODEL).whole.seed([20.0 + n / 50 for n in range(50)])

    lags = sky.play([20.0])

    assert sky.api.calls.total() <= 5
    assert lags[0] < 1.5


def test_a_clock_that_leaps_an_hour_stalls_nothing() -> None:
    """After a machine slept, what is due is due now, and the next jobs are looked at as before."""
    sky = Sky()

    async def story() -> tuple[float, float]:
        lookout = sky.lookout()
        for n, duration_s in enumerate(narrow(40)):
            await sky.land(lookout, await sky.flight(f"j{n}", duration_s))
        slept = await sky.flight("slept", 20.0)
        first_s = lookout.first_delay_s(slept)
        await sky.clock.sleep(first_s + 3600.0)
        assert await lookout.poll(slept) is None
        lag_s = await sky.land(lookout, await sky.flight("after", 20.0))
        return first_s, lag_s

    first_s, lag_s = leap(story())
    assert first_s < 25
    assert lag_s < 3


def test_jobs_accepted_together_are_not_looked_at_together() -> None:
    """Jitter spreads the first looks of a hundred jobs over a good part of a second or more."""
    sky = Sky()
    sky.forecasts.of(MODEL).whole.seed(narrow(50))

    async def story() -> list[float]:
        lookout = sky.lookout()
        return sorted([lookout.first_delay_s(await sky.flight(f"j{n}", 20.0)) for n in range(100)])

    firsts = leap(story())

    assert firsts[-1] - firsts[0] > 0.3
    assert len(set(firsts)) > 90


def bare(name: str) -> InFlightJob:
    async def one() -> InFlightJob:
        return await Sky().flight(name, 1.0)

    return leap(one())


@given(st.lists(st.floats(0, 1e5), max_size=60))
def test_the_schedule_gives_back_what_is_due_in_its_order(dues: list[float]) -> None:
    """Earliest first, nothing before its time, nothing lost."""
    schedule, flight = PollSchedule(), FLIGHT
    for due_s in dues:
        schedule.add(flight, due_s)

    taken: list[float] = []
    while (due := schedule.next_due_s()) is not None:
        assert due == 0 or schedule.pop_due(due * 0.999 - 1e-6) is None
        assert schedule.pop_due(due) is flight
        taken.append(due)

    assert taken == sorted(dues)


FLIGHT = bare("j0")


def test_ten_thousand_flights_are_one_heap() -> None:
    """After an hour's leap all of them are due, each once."""
    schedule = PollSchedule()
    for n in range(10_000):
        schedule.add(FLIGHT, float(n % 97))

    due = 0
    while schedule.pop_due(3600.0) is not None:
        due += 1

    assert (due, len(schedule), schedule.next_due_s()) == (10_000, 0, None)


@pytest.mark.parametrize("answer", [Queued(position=3), Queued(), Running(unknown_word="odd")])
def test_an_unfinished_job_is_looked_at_again(answer: PollAnswer) -> None:
    """Every state but an end leads to another look, soon."""
    sky = Sky(api=Remote(unfinished=lambda: answer))

    sky.play(narrow(25))

    assert set(sky.ledger.states().values()) == {"completed"}
