"""The polls of the jobs of one model: they follow what is known, and no job is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.polling.forecast import (
    MAX_WAIT_S,
    Forecast,
    Forecasts,
    PollObservations,
    QueueMovement,
)
from batchgen.core.polling.poll_plan import PollPace, overdue_delay_s

CHANCE = st.floats(0, 0.999)


@given(st.floats(0, 1e5), st.integers(1, 1000), CHANCE)
def test_unknown_jobs_are_polled_at_growing_intervals(
    age_s: float, polls: int, jitter: float
) -> None:
    """At once, then never later than a quarter of the age or 5 s, and never without a pause."""
    pace = PollPace()

    assert pace.delay_s(age_s, 0, jitter=jitter) == 0.0
    assert 0.08 < pace.delay_s(age_s, polls, jitter=jitter) <= max(0.12, min(0.3 * age_s, 5.75))


@given(st.floats(0, 1e6), st.floats(0, 1), CHANCE)
def test_an_overdue_job_is_never_left_alone(age_s: float, share: float, jitter: float) -> None:
    """The end of a straggler is seen within a quarter of its age, and within 30 s at most."""
    delay_s = overdue_delay_s(age_s, age_s * share, jitter=jitter)

    assert 0.08 < delay_s <= min(30.0, max(0.256 * age_s, 0.12))


def test_the_longer_overdue_the_fewer_the_polls() -> None:
    """The intervals of a straggler grow, so that one that hangs costs few calls."""
    delays = [overdue_delay_s(20 + late_s, late_s, jitter=0.5) for late_s in (0, 2, 6, 20, 200)]

    assert delays == sorted(delays)
    assert len(set(delays)) == 5
    assert delays[-1] > 20


def test_the_speed_of_the_queue_is_that_of_jobs_that_move_up() -> None:
    """Ten places in 40 s are 4 s each; a move back counts for nothing."""
    queue = QueueMovement()
    assert queue.s_per_place is None

    queue.learn(places=10, seconds=40.0)
    queue.learn(places=-5, seconds=10.0)

    assert queue.s_per_place == pytest.approx(4.0)


def test_the_queue_follows_a_new_pace() -> None:
    """Old observations lose their weight."""
    queue = QueueMovement()
    for _ in range(50):
        queue.learn(places=1, seconds=10.0)
    for _ in range(50):
        queue.learn(places=1, seconds=2.0)

    assert queue.s_per_place == pytest.approx(2.0, rel=0.05)


def known(run_s: float = 20.0, *, s_per_place: float | None = None) -> Forecast:
    """Return the forecast of a model of which many jobs started at once."""
    forecast = Forecast()
    for n in range(90):
        seen = PollObservations()
        forecast.saw_running(seen, 0.0)
        forecast.saw_running(seen, run_s - 1)
        forecast.saw_end(seen, run_s + n / 90)
    if s_per_place is not None:
        forecast.queue.learn(places=10, seconds=10 * s_per_place)
    return forecast


def test_the_first_poll_is_immediate_while_nothing_is_known() -> None:
    """A very quick model is not slowed down by waiting."""
    assert Forecast().next_delay_s(PollObservations(), 0.0, 0, jitter=0.5) == 0.0


def test_a_slow_model_is_not_asked_at_once() -> None:
    """Once it is known that jobs take 20 s, the first poll comes shortly before that."""
    assert 17 < known().next_delay_s(PollObservations(), 0.0, 0, jitter=0.5) < 21


def test_the_result_is_asked_only_if_a_job_may_have_ended() -> None:
    """Before the earliest end ever seen the cheap `status` is asked, after it the result."""
    forecast = known()

    assert not Forecast().may_have_ended(PollObservations(), 1e6)
    assert not forecast.may_have_ended(PollObservations(), 19.9)
    assert forecast.may_have_ended(PollObservations(), 20.0)


def test_a_job_that_has_probably_ended_is_polled_twice_a_minute() -> None:
    """However widely the durations of a model are spread."""
    forecast = Forecast()
    for n in range(60):
        forecast.whole.learn(after_s=60.0 * n, by_s=60.0 * n + 10)
    early, late = PollObservations(), PollObservations()
    forecast.saw_running(early, 600.0)
    forecast.saw_running(late, 3000.0)

    assert forecast.next_delay_s(early, 600.0, 1, jitter=0.5) > 30.0
    assert forecast.next_delay_s(late, 3000.0, 1, jitter=0.5) <= 30.0


def test_a_position_forecasts_the_start() -> None:
    """Place 6 of a queue that moves every 2 s starts in 11 s."""
    forecast, seen = known(s_per_place=2.0), PollObservations()

    forecast.saw_waiting(seen, 1.0, 6)

    assert seen.start_s == pytest.approx(12.0)
    assert 28 < 1.0 + forecast.next_delay_s(seen, 1.0, 1, jitter=0.5) < 34


def test_a_job_far_back_is_polled_again_on_the_way() -> None:
    """The forecast of a long wait is inexact, so it is made again after three quarters of it."""
    forecast, seen = known(s_per_place=2.0), PollObservations()

    forecast.saw_waiting(seen, 0.0, 40)

    assert 50 < forecast.next_delay_s(seen, 0.0, 1, jitter=0.5) < 60


def test_only_the_status_tells_a_lost_position() -> None:
    """After a result that said `waiting`, the next poll asks for the status, which has it."""
    forecast, seen = known(s_per_place=2.0), PollObservations()

    forecast.saw_waiting(seen, 30.0, None)

    assert not forecast.may_have_ended(seen, 31.0)


def test_a_queue_that_moves_faster_than_forecast_is_noticed() -> None:
    """A job that runs before its forecast corrects the pace, not only those that wait."""
    forecast, seen = known(s_per_place=10.0), PollObservations()
    forecast.saw_waiting(seen, 0.0, 8)

    forecast.saw_running(seen, 16.0)

    pace_s = forecast.queue.s_per_place
    assert pace_s is not None
    assert pace_s < 7.0
    assert seen.start_s == 16.0


def test_models_are_kept_apart() -> None:
    """The durations of a quick model say nothing about a slow one."""
    forecasts = Forecasts()

    assert forecasts.of("a/b") is forecasts.of("a/b")
    assert forecasts.of("a/b") is not forecasts.of("a/c")


STORY = st.lists(
    st.tuples(st.sampled_from(["waiting", "running", "ended"]), st.floats(0.01, 300),
              st.one_of(st.none(), st.integers(0, 50))),
    max_size=60,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(STORY, CHANCE)
def test_no_job_starves_whatever_was_seen(
    story: list[tuple[str, float, int | None]], jitter: float
) -> None:
    """Every delay is positive and bounded, and 30 s bound it once a job has outlived its plan."""
    forecast, seen, age_s = Forecast(), PollObservations(), 0.0
    for what, step_s, position in story:
        age_s += step_s
        if what == "waiting":
            forecast.saw_waiting(seen, age_s, position)
        elif what == "running":
            forecast.saw_running(seen, age_s)
        else:
            forecast.saw_end(seen, age_s)
            seen, age_s = PollObservations(), 0.0
        delay_s = forecast.next_delay_s(
            seen, age_s, 0 if seen.alive_s is None else 1, jitter=jitter
        )
        plan = forecast.whole.plan
        longest_s = 0.0 if plan is None else plan.end_s
        assert 0 <= delay_s <= max(MAX_WAIT_S, 1.25 * longest_s)
        assert seen.alive_s is None or delay_s > 0.04

    late_s = 1e6
    forecast.saw_running(seen, late_s)
    assert 0.04 < forecast.next_delay_s(seen, late_s, 1, jitter=jitter) <= 30.0
