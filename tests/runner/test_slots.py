"""Slots and rates: filled at once, never more than allowed, and nothing that stalls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest

from batchgen.core.api_answers import (
    PollAnswer,
    SubmitAnswer,
    TryAgain,
)
from batchgen.core.events import JobError
from batchgen.runner.runner import Runner
from batchgen.runner.stopping import Limits
from tests.kit import OTHER_MODEL
from tests.kit.fakes import MemoryAPI, job
from tests.kit.time import LoopClock, leap
from tests.runner.world import RunnerWorld, many, now_s


def test_every_job_comes_to_its_end_once() -> None:
    """Each row is submitted once, polled to its end and downloaded."""
    world = RunnerWorld()

    outcome = world.run(many(30))

    assert outcome.reasons == ()
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert set(world.api.posts.values()) == {1}


def test_a_second_run_does_nothing() -> None:
    """Jobs that are done are not touched: no POST, no poll, no download."""
    world = RunnerWorld()
    world.run(many(5))
    again = RunnerWorld(ledger=world.ledger)

    again.run(many(5))

    assert (again.api.posts.total(), again.api.polls.total(), again.store.tries.total()) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize("cap", [1, 3, 8])
def test_the_cap_is_filled_and_never_exceeded(cap: int) -> None:
    """As the remote side sees it: never more in flight than the cap, and never fewer for long."""
    world = RunnerWorld(limits=Limits(concurrency=cap))

    world.run(many(24))

    assert world.api.high_water == cap
    ideal_s = 24 / cap * world.api.duration_s
    assert world.took_s < ideal_s * 1.35


@pytest.mark.slow
def test_ten_thousand_jobs_in_flight() -> None:
    """One process, one schedule: all come to their end, and nothing stalls."""
    world = RunnerWorld(
        api=MemoryAPI(duration_s=4.0, answer_s=0.001),
        limits=Limits(concurrency=10_000, polls=4096, downloads=512),
    )

    outcome = world.run(many(10_000))

    assert outcome.reasons == ()
    assert Counter(world.ledger.states().values()) == {"downloaded": 10_000}
    assert world.api.high_water > 9_000


def test_an_api_that_hangs_every_tenth_call_stalls_nothing() -> None:
    """Slow calls hold up themselves only."""
    calls = 0

    class Hanging(MemoryAPI):
        async def status(self, request_id: str) -> PollAnswer:
            nonlocal calls
            calls += 1
            if calls % 10 == 0:
                await LoopClock().sleep(20.0)
                return TryAgain(
                    error=JobError(kind="lost_answer", message="time-out"), answered=False
                )
            return await super().status(request_id)

    world = RunnerWorld(api=Hanging(), limits=Limits(concurrency=32))

    world.run(many(300))

    assert set(world.ledger.states().values()) == {"downloaded"}
    assert world.took_s < 300 / 32 * 10 * 2


def test_a_model_that_waits_does_not_hold_up_another() -> None:
    """While the canary of one is refused its rate, the other goes on."""
    world = RunnerWorld(limits=Limits(concurrency=4))

    class Slow(MemoryAPI):
        async def submit(self, model: str, values: object) -> SubmitAnswer:
            if model == OTHER_MODEL:
                await LoopClock().sleep(500.0)
            return await super().submit(model, values)  # type: ignore[arg-type]

    world.api = Slow()

    world.run(
        [job("slow", "s", model=OTHER_MODEL), job("slow2", "s2", model=OTHER_MODEL), *many(20)]
    )

    ended = [name for name, event in world.ledger.events if type(event).__name__ == "Saved"]
    assert ended[-1].startswith("slow")
    assert len(ended) == 22


def test_a_rate_limit_halves_what_is_in_flight_and_gives_it_back() -> None:
    """As the remote side sees it; nothing is lost and nothing is paid twice."""
    capacity = 10

    def submit(values: Mapping[str, object], n: int) -> SubmitAnswer | None:
        flying = sum(end > now_s() for end in world.api._end_s.values())
        error = JobError(kind="not_accepted", message="rate", http_status=429)
        return TryAgain(error=error) if flying >= capacity else None

    world = RunnerWorld(limits=Limits(concurrency=64))
    world.api.on_submit = submit

    world.run(many(120))

    assert set(world.ledger.states().values()) == {"downloaded"}
    turned_away = world.api.posts.total() - 120
    assert turned_away < 120, "it does not try again and again"
    assert world.took_s < 120 / capacity * 10 * 2.2


def test_the_rate_of_calls_is_kept() -> None:
    """--rate counts every call, polls included."""
    calls: list[float] = []
    world = RunnerWorld(limits=Limits(concurrency=32, rate_per_s=5.0))
    world.api.on_submit = lambda values, n: calls.append(now_s()) or None  # type: ignore[func-returns-value]
    world.api.on_poll = lambda rid, n: calls.append(now_s()) or None  # type: ignore[func-returns-value]

    world.run(many(30))

    calls.sort()
    for start in calls:
        assert sum(start <= call < start + 1.0 - 1e-6 for call in calls) <= 6


def test_retry_after_is_kept_by_all() -> None:
    """When the API asks for a pause, no submission leaves before it is over."""
    sent: list[float] = []

    def told(values: object, n: int) -> SubmitAnswer | None:
        sent.append(asyncio.get_running_loop().time())
        error = JobError(kind="not_accepted", message="rate", http_status=429)
        return TryAgain(error=error, retry_after_s=30.0) if len(sent) == 1 else None

    world = RunnerWorld(api=MemoryAPI(on_submit=told), limits=Limits(concurrency=1))

    world.run(many(3))

    assert sent[1] - sent[0] >= 30.0


def test_a_poll_that_is_rate_limited_slows_submissions_down() -> None:
    """One pause for all: if polls are too many, no new jobs add to them."""
    sent: list[float] = []
    rated = TryAgain(
        error=JobError(kind="lost_answer", message="rate", http_status=429), retry_after_s=30.0
    )
    first = True

    def poll(rid: str, n: int) -> PollAnswer | None:
        nonlocal first
        if first and now_s() > 12.0:
            first = False
            return rated
        return None

    world = RunnerWorld(limits=Limits(concurrency=4))
    world.api.on_poll = poll
    world.api.on_submit = lambda values, n: sent.append(now_s()) or None  # type: ignore[func-returns-value]

    world.run(many(40))

    gaps = [after - before for before, after in pairwise(sent)]
    assert max(gaps) >= 29.0
    assert set(world.ledger.states().values()) == {"downloaded"}


def test_submissions_on_their_way_are_bounded() -> None:
    """A cap of thousands does not open thousands of connections at once."""
    world = RunnerWorld(limits=Limits(concurrency=2000, posts=50))

    world.run(many(500))

    assert world.api.most_posting == 50
    assert world.api.high_water == 500


def test_the_run_says_what_limits_it() -> None:
    """Concurrency, the user's rate, the API, or downloads: by name."""

    seen: dict[str, set[str]] = {}

    def watch(name: str, world: RunnerWorld, jobs: int = 12) -> None:
        named = seen.setdefault(name, set())

        def during(runner: Runner) -> None:
            def ask() -> None:
                named.add(runner.limited_by())
                asyncio.get_running_loop().call_later(0.5, ask)

            ask()

        world.run(many(jobs), during)

    rated = TryAgain(error=JobError(kind="not_accepted", message="rate", http_status=429))
    watch("cap", RunnerWorld(limits=Limits(concurrency=2)))
    watch("rate", RunnerWorld(limits=Limits(concurrency=50, rate_per_s=1.0)))
    watch("api", RunnerWorld(api=MemoryAPI(on_submit=lambda v, n: rated if n == 1 else None)))
    slow = RunnerWorld(limits=Limits(concurrency=50, downloads=1))
    slow.store.save_s = 30.0
    watch("downloads", slow)

    assert "concurrency" in seen["cap"]
    assert "--rate" in seen["rate"]
    assert "the API (rate limit)" in seen["api"]
    assert "downloads" in seen["downloads"]


def test_a_clock_that_jumps_an_hour_stalls_nothing() -> None:
    """The wall clock is for what is written down; intervals are measured on the other one."""

    world = RunnerWorld()

    def during(runner: object) -> None:
        asyncio.get_running_loop().call_later(15.0, jump, 3600.0)
        asyncio.get_running_loop().call_later(25.0, jump, -7200.0)

    def jump(by_s: float) -> None:
        LoopClock.skew_s += by_s

    try:
        outcome = world.run(many(40), during)
    finally:
        LoopClock.skew_s = 0.0

    assert outcome.reasons == ()
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert world.took_s < 40 / 8 * 10 * 1.5


def test_nothing_is_left_behind() -> None:
    """After a run with failing polls, downloads and submissions no task is alive."""
    error = JobError(kind="x", message="x", http_status=500)

    async def main() -> int:
        world = RunnerWorld(
            api=MemoryAPI(on_poll=lambda rid, n: TryAgain(error=error) if n % 3 else None),
            limits=Limits(concurrency=32),
        )
        await world.run_in_loop(many(200))
        return len(asyncio.all_tasks())

    assert leap(main()) == 1
