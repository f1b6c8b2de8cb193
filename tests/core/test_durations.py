"""The durations that are learned from polls, and the plans made of them."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.polling.durations import (
    MAX_ALIVE,
    MAX_ENDS,
    MAX_SEEDS,
    MIN_ENDS,
    DurationEstimate,
    past_duration_s,
)
from batchgen.core.polling.poll_plan import PollPlan, cells, cheapest_polls

AGES = st.floats(0, 10_000, allow_nan=False)


def brute_force(ages: list[float], mass: list[float], weight: float) -> float:
    """Return the least cost of all schedules that reach the end of the grid."""
    last = len(ages) - 1
    best = float("inf")
    for size in range(last):
        for chosen in itertools.combinations(range(1, last), size):
            cost, previous = 0.0, 0
            for poll in (*chosen, last):
                cost += sum(mass[previous:])
                for cell in range(previous, poll):
                    middle = (ages[cell] + ages[cell + 1]) / 2
                    cost += weight * mass[cell] * (ages[poll] - middle)
                previous = poll
            best = min(best, cost)
    return best


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=8), st.floats(0.01, 20))
def test_no_schedule_costs_less(shares: list[int], weight: float) -> None:
    """The plan is as cheap as the cheapest of all schedules on its grid."""
    total = sum(shares) or 1
    mass = [share / total for share in shares]
    ages = [0.0, *(float(n) for n in range(len(shares)))]

    plan = cheapest_polls(ages, mass, lag_calls_per_s=weight)

    assert plan.cost_calls == pytest.approx(brute_force(ages, mass, weight))


def test_a_known_duration_takes_one_poll() -> None:
    """If every job ends in one cell, the only poll is at its end."""
    plan = cheapest_polls([0.0, 0.0, 9.0, 10.0, 11.0], [0, 0, 1, 0], lag_calls_per_s=1)

    assert plan.ages_s[plan.following[0]] == 10.0
    assert plan.cost_calls == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("after_s", "by_s", "found"),
    [(None, 0.0, (0, 1)), (0.0, 1.0, (1, 2)), (None, 2.0, (0, 3)), (1.0, 99.0, (2, 4)),
     (50.0, 99.0, (3, 4)), (2.0, 2.0, (3, 4))],
)  # fmt: skip
def test_an_end_lies_in_the_cells_between_two_polls(
    after_s: float | None, by_s: float, found: tuple[int, int]
) -> None:
    """Not before the last poll that found it alive, and not after the first that did not."""
    assert cells([0.0, 0.0, 1.0, 2.0, 3.0], after_s, by_s) == found


def learned(seen: list[tuple[float | None, float]]) -> DurationEstimate:
    estimate = DurationEstimate()
    for after_s, by_s in seen:
        estimate.learn(after_s=after_s, by_s=by_s)
    return estimate


def plan_of(estimate: DurationEstimate) -> PollPlan:
    plan = estimate.plan
    assert plan is not None
    return plan


def test_nothing_is_planned_before_enough_is_known() -> None:
    """Two ends may be chance."""
    estimate = learned([(9.0, 10.0)] * (MIN_ENDS - 1))
    assert estimate.plan is None

    estimate.learn(after_s=9.0, by_s=10.0)

    assert estimate.plan is not None


def test_instant_jobs_are_polled_at_once() -> None:
    """If jobs end with their acceptance, the first poll does not wait."""
    plan = plan_of(learned([(None, 0.02), (0.01, 0.04)] * 9))

    assert plan.first_age_s(jitter=0.5) == 0.0
    assert plan.chance_alive(0.0) < 0.1, "a second poll is hardly ever needed"


def test_slow_jobs_are_left_alone_until_they_may_end() -> None:
    """The first poll of a job of a slow model is near the earliest end that was seen."""
    dice = random.Random(3)
    ends = [dice.uniform(16, 24) for _ in range(100)]

    plan = plan_of(learned([(end * 0.97, end * 1.03) for end in ends]))

    assert 15.5 < plan.first_age_s(jitter=0.5) < 18.5


def test_intervals_sharpen_each_other() -> None:
    """Wide intervals that share a short piece put the ends into that piece."""
    seen: list[tuple[float | None, float]] = [(2.0 + n % 8, 10.5 + n % 7) for n in range(60)]

    plan = plan_of(learned(seen))

    assert plan.chance_alive(9.0) - plan.chance_alive(10.6) > 0.4


def test_ends_that_became_quicker_are_found() -> None:
    """If a slow model becomes quick, the first poll comes earlier with every end."""
    estimate = learned([(19.0, 20.0)] * MAX_ENDS)
    firsts = []
    for _ in range(MAX_ENDS):
        poll_s = plan_of(estimate).first_age_s(jitter=0.5)
        firsts.append(poll_s)
        estimate.learn(after_s=None if poll_s >= 5.0 else poll_s, by_s=max(poll_s, 5.0))

    assert firsts[0] > 15
    assert firsts[60] < 11
    assert firsts[-1] < 7


def test_the_first_ends_of_a_run_do_not_promise_that_all_are_quick() -> None:
    """Jobs that are still alive count: most of the distribution lies beyond the quick ones."""
    estimate = learned([(5.0, 5.5)] * 3)
    for n in range(40):
        estimate.still_alive(n, 6.0)
    estimate.learn(after_s=5.0, by_s=5.5)

    assert plan_of(estimate).chance_alive(6.0) > 0.8


def test_a_job_that_has_ended_is_not_alive() -> None:
    """It is not counted as alive any longer."""
    estimate = DurationEstimate()
    for n in range(60):
        estimate.still_alive(n, 9.0)
        estimate.learn(after_s=9.0, by_s=10.0, job=n)

    assert plan_of(estimate).chance_alive(10.5) < 0.1


def test_seeds_are_outweighed_by_what_is_seen() -> None:
    """A model that has changed since the last run is known after a few dozen ends."""
    estimate = DurationEstimate()
    estimate.seed([100.0] * 5000)
    assert len(estimate) == MAX_SEEDS
    assert plan_of(estimate).first_age_s(jitter=0.5) > 50

    for _ in range(MAX_ENDS):
        estimate.learn(after_s=4.0, by_s=5.0)

    assert plan_of(estimate).end_s < 60


def test_a_machine_that_slept_does_not_lengthen_the_plan() -> None:
    """One end that was seen an hour late counts for almost nothing."""
    seen: list[tuple[float | None, float]] = [(9.5, 10.5)] * 60

    plan = plan_of(learned([*seen, (9.0, 3610.0)]))

    assert plan.end_s < 100
    assert plan.mean_s == pytest.approx(10, rel=0.15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(AGES, AGES), min_size=3, max_size=30), AGES, st.floats(0, 0.999))
def test_every_next_poll_is_in_the_future(
    spans: list[tuple[float, float]], age_s: float, jitter: float
) -> None:
    """Whatever was seen: the next poll is not in the past, and survival falls from 1."""
    plan = plan_of(learned([(min(span), max(span)) for span in spans]))

    following = plan.next_age_s(age_s, jitter=jitter)

    assert following is None or age_s <= following <= plan.end_s * 1.25
    assert plan.first_age_s(jitter=jitter) >= 0
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(plan.alive))
    assert plan.alive[0] == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 1e6), max_size=400))
def test_memory_is_bounded(durations: list[float]) -> None:
    """However long a run is, no more is kept of it."""
    estimate = DurationEstimate()
    estimate.seed(durations)
    for n, duration_s in enumerate(durations * 3):
        estimate.still_alive(n, abs(duration_s))
        estimate.learn(after_s=None, by_s=abs(duration_s))

    assert len(estimate) <= MAX_ENDS
    assert len(estimate._alive) <= MAX_ALIVE
    plan = estimate.plan
    assert plan is None or len(plan.ages_s) < 220


def test_ten_thousand_jobs_in_flight_are_remembered_by_a_few() -> None:
    """A sample of those alive is enough."""
    estimate = DurationEstimate()
    for n in range(10_000):
        estimate.still_alive(n, 1.0)

    assert len(estimate._alive) == MAX_ALIVE


def record(state: JobState, began: str | None, ended: str | None) -> JobRecord:
    return JobRecord(ts="t", job="a", state=state, submitted_at=began, finished_at=ended)


def test_the_past_of_a_ledger_is_read_from_successes_only() -> None:
    """A refusal ends at once, and would make jobs seem quick."""
    began, ended = "2026-11-22T02:00:00.000Z", "2026-11-22T02:00:12.500Z"

    assert past_duration_s(record(JobState.DOWNLOADED, began, ended)) == 12.5
    assert past_duration_s(record(JobState.FAILED, began, ended)) is None
    assert past_duration_s(record(JobState.COMPLETED, None, ended)) is None
    assert past_duration_s(record(JobState.COMPLETED, ended, began)) is None
