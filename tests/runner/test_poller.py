"""Polls of accepted jobs, in virtual time: what they cost, and what they can never do."""

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
from batchgen.runner.context import RunContext
from batchgen.runner.poll_loop import PollSchedule
from batchgen.runner.poller import InFlightJob, Poller, ResultFirst
from batchgen.runner.stopping import Limits
from tests.kit import MODEL
from tests.kit.fakes import MemoryAPI, MemoryLedger, Notes, job
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
        await LoopClock().sleep(self.answer_s)
        return Ended() if self._ended(request_id) else Running()

    async def result(self, request_id: str) -> PollAnswer:
        self.calls["result"] += 1
        await LoopClock().sleep(self.answer_s)
        return DONE if self._ended(request_id) else self.unfinished()

    def _ended(self, request_id: str) -> bool:
        return asyncio.get_running_loop().time() >= self.ends_s[request_id]


@dataclass
class PollerWorld:
    """A poller with an API and a ledger in memory."""

    api: Remote = field(default_factory=Remote)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    notes: Notes = field(default_factory=Notes)
    forecasts: Forecasts = field(default_factory=Forecasts)

    def __post_init__(self) -> None:
        self.clock = LoopClock()

    def poller(self) -> Poller:
        context = RunContext(
            api=self.api, ledger=self.ledger, clock=self.clock, observer=self.notes,
            limits=Limits(), jitter=random.Random(1).random,
        )  # fmt: skip
        return Poller(context, self.forecasts)

    async def accept(self, name: str, duration_s: float, *, resumed: bool = False) -> InFlightJob:
        one = job(name, name)
        intent = Intended(model=one.model, input=one.input, fingerprint=one.fingerprint)
        await self.ledger.record(name, intent)
        record = await self.ledger.record(name, Accepted(request_id=name))
        now_s = self.clock.monotonic_s()
        self.api.ends_s[name] = now_s + duration_s
        return InFlightJob(
            record=record, row=one, accepted_at_s=now_s, give_up_at_s=now_s + 900, resumed=resumed
        )

    async def poll_to_the_end(self, poller: Poller, job: InFlightJob) -> float:
        """Poll until it has ended; return how late that was learned."""
        delay_s: float | None = poller.first_delay_s(job)
        while delay_s is not None:
            await self.clock.sleep(delay_s)
            delay_s = await poller.poll(job)
        return self.clock.monotonic_s() - self.api.ends_s[job.record.request_id or ""]

    def play(self, durations: list[float]) -> list[float]:
        """Run one job after another; return the lags in seconds."""

        async def story() -> list[float]:
            poller = self.poller()
            return [
                await self.poll_to_the_end(poller, await self.accept(f"j{n}", duration_s))
                for n, duration_s in enumerate(durations)
            ]

        return leap(story())


def narrow(count: int) -> list[float]:
    dice = random.Random(2)
    return [dice.uniform(16.0, 24.0) for _ in range(count)]


def test_narrow_durations_cost_few_calls_and_little_lag() -> None:
    """Within 20 % of their mean: at most 6 calls a job and 5 % lag after the first 20 jobs."""
    world = PollerWorld()
    lags: list[float] = []

    async def story() -> int:
        poller, early = world.poller(), 0
        for n, duration_s in enumerate(narrow(220)):
            early = world.api.calls.total() if n == 20 else early
            lag_s = await world.poll_to_the_end(poller, await world.accept(f"j{n}", duration_s))
            lags.append(lag_s / duration_s)
        return early

    early = leap(story())

    calls = 1 + (world.api.calls.total() - early) / 200
    assert calls <= 5.6
    assert sum(lags[20:]) / 200 < 0.045


def test_an_instant_model_needs_two_calls_a_job() -> None:
    """Once it is known that jobs end at once, the result is asked first, and at once."""
    world = PollerWorld()

    world.play([0.0] * 100)

    assert world.api.calls["status"] == 3
    assert world.api.calls["result"] == 100


def test_unfinished_results_that_are_errors_send_the_run_back_to_status() -> None:
    """Three errors where the status says `running`: from then on only ended jobs are fetched."""
    error = TryAgain(error=JobError(kind="lost_answer", message="not ready", http_status=409))
    world = PollerWorld(api=Remote(unfinished=lambda: error))

    world.play(narrow(60))

    assert world.api.calls["result"] <= 60 + 3 + 1
    assert set(world.ledger.states().values()) == {"completed"}


def test_an_outage_does_not_end_result_first_for_a_server_that_answers_it() -> None:
    """If an unfinished result was answered before, errors are errors; otherwise three end it."""
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
    world = PollerWorld(api=Remote(unfinished=lambda: gone))

    world.play(narrow(40))

    assert world.api.calls["result"] <= 40 + 3
    assert set(world.ledger.states().values()) == {"completed"}


def test_a_failing_poll_backs_off_and_fails_nothing() -> None:
    """Errors first under a second, then up to 30 s apart; the job stays in flight."""
    failing = TryAgain(error=JobError(kind="lost_answer", message="504", http_status=504))
    delays: list[float] = []
    world = PollerWorld()

    async def story() -> JobState:
        job = await world.accept("j0", 10.0)
        poller = world.poller()

        async def no_answer(request_id: str) -> PollAnswer:
            return failing

        world.api.status = no_answer  # type: ignore[method-assign]
        for _ in range(12):
            delay_s = await poller.poll(job)
            assert delay_s is not None
            delays.append(delay_s)
        return job.record.state

    assert leap(story()) is JobState.IN_QUEUE
    assert delays[0] < 1.0
    assert 15.0 <= delays[-1] <= 30.0


def test_what_an_earlier_run_left_is_polled_at_once_and_teaches_nothing() -> None:
    """It may have ended hours ago: then its age is no duration."""
    world = PollerWorld()
    world.forecasts.of(MODEL).whole.seed([20.0] * 5)

    async def story() -> float:
        job = await world.accept("old", -5.0, resumed=True)
        job.accepted_at_s -= 7200.0
        return await world.poll_to_the_end(world.poller(), job)

    assert leap(story()) < 5.1
    assert len(world.forecasts.of(MODEL).whole) == 5


def test_history_spares_the_first_job_its_polls() -> None:
    """Seeded from the ledger, the very first job of a slow model is not polled at once."""
    world = PollerWorld()
    world.forecasts.of(MODEL).whole.seed([20.0 + n / 50 for n in range(50)])

    lags = world.play([20.0])

    assert world.api.calls.total() <= 5
    assert lags[0] < 1.5


def test_a_clock_that_leaps_an_hour_stalls_nothing() -> None:
    """After a machine slept, what is due is due now, and the next jobs are polled as before."""
    world = PollerWorld()

    async def story() -> tuple[float, float]:
        poller = world.poller()
        for n, duration_s in enumerate(narrow(40)):
            await world.poll_to_the_end(poller, await world.accept(f"j{n}", duration_s))
        slept = await world.accept("slept", 20.0)
        first_s = poller.first_delay_s(slept)
        await world.clock.sleep(first_s + 3600.0)
        assert await poller.poll(slept) is None
        lag_s = await world.poll_to_the_end(poller, await world.accept("after", 20.0))
        return first_s, lag_s

    first_s, lag_s = leap(story())
    assert first_s < 25
    assert lag_s < 3


def test_jobs_accepted_together_are_not_polled_together() -> None:
    """Jitter spreads the first polls of a hundred jobs over a good part of a second or more."""
    world = PollerWorld()
    world.forecasts.of(MODEL).whole.seed(narrow(50))

    async def story() -> list[float]:
        poller = world.poller()
        return sorted([poller.first_delay_s(await world.accept(f"j{n}", 20.0)) for n in range(100)])

    firsts = leap(story())

    assert firsts[-1] - firsts[0] > 0.3
    assert len(set(firsts)) > 90


def bare(name: str) -> InFlightJob:
    async def one() -> InFlightJob:
        return await PollerWorld().accept(name, 1.0)

    return leap(one())


@given(st.lists(st.floats(0, 1e5), max_size=60))
def test_the_schedule_gives_back_what_is_due_in_its_order(dues: list[float]) -> None:
    """Earliest first, nothing before its time, nothing lost."""
    schedule, job = PollSchedule(), JOB
    for due_s in dues:
        schedule.add(job, due_s)

    taken: list[float] = []
    while (due := schedule.next_due_s()) is not None:
        assert due == 0 or schedule.pop_due(due * 0.999 - 1e-6) is None
        assert schedule.pop_due(due) is job
        taken.append(due)

    assert taken == sorted(dues)


JOB = bare("j0")


def test_ten_thousand_jobs_are_one_heap() -> None:
    """After an hour's leap all of them are due, each once."""
    schedule = PollSchedule()
    for n in range(10_000):
        schedule.add(JOB, float(n % 97))

    due = 0
    while schedule.pop_due(3600.0) is not None:
        due += 1

    assert (due, len(schedule), schedule.next_due_s()) == (10_000, 0, None)


@pytest.mark.parametrize("answer", [Queued(position=3), Queued(), Running(unknown_word="odd")])
def test_an_unfinished_job_is_polled_again(answer: PollAnswer) -> None:
    """Every state but an end leads to another poll, soon."""
    world = PollerWorld(api=Remote(unfinished=lambda: answer))

    world.play(narrow(25))

    assert set(world.ledger.states().values()) == {"completed"}
