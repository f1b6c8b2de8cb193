"""Hold, canary and breaker, the rate, the window and the budget."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.admission import BREAKER_LIMIT, Admission, AdmissionDecision
from batchgen.core.budget import Budget
from batchgen.core.events import JobError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.throttle import ConcurrencyWindow, RateLimiter

GO, WAIT, STOPPED = AdmissionDecision.GO, AdmissionDecision.WAIT, AdmissionDecision.STOPPED


def proven(*models: str) -> Admission:
    """An admission in which these models have had a job accepted."""
    admission = Admission()
    for model in models:
        admission.sent(model)
        admission.ended(model)
        admission.accepted(model)
    return admission


def test_the_first_job_of_a_model_goes_alone() -> None:
    """Until one is accepted; another model has a canary of its own."""
    admission = Admission()
    admission.sent("a")

    assert (admission.decision("a"), admission.decision("b")) == (WAIT, GO)
    admission.ended("a")
    admission.accepted("a")
    assert admission.decision("a") is GO


def test_a_refused_canary_is_followed_by_the_next_row() -> None:
    """A refusal is no acceptance: the next goes alone too."""
    admission = Admission()
    admission.sent("a")
    admission.ended("a")

    assert admission.decision("a") is GO
    admission.sent("a")
    assert admission.decision("a") is WAIT


def test_after_a_lost_answer_nothing_is_sent_until_the_api_answers() -> None:
    """Then one job alone, and the rest once it is accepted."""
    admission = proven("a", "b")
    admission.sent("a")
    admission.ended("a")
    admission.lost("a", "lost_answer")

    assert (admission.decision("a"), admission.decision("b")) == (WAIT, WAIT)
    admission.api_answered()
    assert admission.decision("b") is GO
    admission.sent("b")
    assert admission.decision("a") is WAIT
    admission.ended("b")
    admission.accepted("b")
    assert admission.decision("a") is GO


def test_an_acceptance_from_before_the_outage_does_not_end_the_hold() -> None:
    """An answer that was on its way says nothing about what follows."""
    admission = proven("a")
    admission.lost("a", "lost_answer")

    admission.accepted("a")

    assert admission.decision("a") is WAIT


def test_ten_failures_of_one_kind_in_a_row_stop_the_model() -> None:
    """That model only."""
    admission = proven("a", "b")
    for _ in range(BREAKER_LIMIT):
        assert admission.decision("a") is GO
        admission.failed("a", "generation")

    assert (admission.decision("a"), admission.decision("b")) == (STOPPED, GO)


def test_a_success_or_another_kind_restarts_the_count() -> None:
    """Only the same failure ten times in a row stops a model."""
    admission = proven("a")
    for _ in range(BREAKER_LIMIT - 1):
        admission.failed("a", "generation")
    admission.succeeded("a")
    for _ in range(BREAKER_LIMIT - 1):
        admission.failed("a", "generation")
    admission.failed("a", "content")

    assert admission.decision("a") is GO


def test_the_doubts_of_one_outage_count_once() -> None:
    """64 POSTs that are on their way when the network fails count as one."""
    admission = proven("a")

    for _ in range(64):
        admission.lost("a", "lost_answer")

    admission.api_answered()
    assert admission.decision("a") is GO


def test_an_api_that_loses_every_answer_stops_the_model() -> None:
    """Each job that is sent alone and lost again counts, and the tenth stops the model."""
    admission = proven("a")
    lost = 0
    while admission.decision("a") is not STOPPED:
        admission.sent("a")
        admission.ended("a")
        admission.lost("a", "lost_answer")
        admission.api_answered()
        lost += 1

    assert lost == BREAKER_LIMIT


def test_a_withdrawn_model_is_stopped() -> None:
    """The reason is kept."""
    admission = proven("a", "b")
    admission.withdrawn("a")

    assert (admission.decision("a"), admission.decision("b")) == (STOPPED, GO)
    assert "no longer" in admission.stopped["a"]


@given(st.lists(st.sampled_from(["sent", "accepted", "refused", "lost", "answered"]), max_size=60))
def test_never_two_jobs_on_their_way_to_an_unproven_or_held_api(steps: list[str]) -> None:
    """Whatever happens in whatever order: alone means alone."""
    admission, on_their_way, ever_accepted = Admission(), 0, False
    for step in steps:
        if step == "sent":
            if admission.decision("a") is not GO:
                continue
            if not ever_accepted or admission.solo:
                assert on_their_way == 0
            assert not admission.held
            admission.sent("a")
            on_their_way += 1
        elif step == "answered":
            admission.api_answered()
        elif on_their_way:
            admission.ended("a")
            on_their_way -= 1
            if step == "accepted":
                admission.accepted("a")
                ever_accepted = True
            elif step == "lost":
                admission.lost("a", "lost_answer")


def test_the_window_starts_at_the_cap_and_returns_to_it() -> None:
    """Halved by a round of refusals, less by fewer; grown by one for each window of successes."""
    window = ConcurrencyWindow(cap=64)

    for _ in range(16):
        window.turned_away()
    assert (window.size, window.narrowed) == (32, True)
    for _ in range(32):
        window.accepted()
    assert window.size == 32 + 0  # 32.99: one short of a whole slot
    for n in range(16):
        window.turned_away() if n < 4 else window.accepted()
    assert window.size == 29
    for _ in range(10_000):
        window.accepted()
    assert (window.size, window.narrowed) == (64, False)


@given(st.integers(1, 1000), st.lists(st.booleans(), max_size=200))
def test_the_window_stays_between_one_and_the_cap(cap: int, steps: list[bool]) -> None:
    """Whatever the API answers."""
    window = ConcurrencyWindow(cap=cap)
    for taken in steps:
        window.accepted() if taken else window.turned_away()
        assert 1 <= window.size <= cap


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=100))
def test_a_rate_is_never_exceeded(per_s: float, gaps: list[float]) -> None:
    """Two calls are at least an interval apart, and no call waits longer than it must."""
    rate, now_s, starts = RateLimiter(per_s=per_s), 0.0, []
    for gap in gaps:
        now_s += gap
        starts.append(now_s + rate.wait_s(now_s))

    for before, after in pairwise(starts):
        assert after - before >= 1 / per_s - 1e-6


def test_no_rate_is_no_wait() -> None:
    """Without --rate no call waits."""
    assert RateLimiter(per_s=None).wait_s(5.0) == 0.0


@given(
    st.floats(0, 10),
    st.lists(
        st.tuples(st.integers(0, 20), st.floats(0, 1), st.sampled_from("rsfx"), st.floats(0, 1)),
        max_size=80,
    ),
)
def test_a_budget_is_never_exceeded_by_its_estimates(
    limit_usd: float, steps: list[tuple[int, float, str, float]]
) -> None:
    """Spent and reserved together stay within the limit if no cost is above its estimate."""
    budget = Budget(limit_usd=limit_usd)
    reserved: set[str] = set()
    for number, price_usd, what, share in steps:
        job = f"j{number}"
        if what == "r" and job not in reserved:
            if budget.reserve(job, price_usd):
                reserved.add(job)
        elif job in reserved:
            reserved.discard(job)
            if what == "x":
                budget.release(job)
            else:
                budget.settle(job, None if what == "f" else price_usd * share * 0.0)
        assert budget.committed_usd <= limit_usd + 1e-6


def test_a_hundred_cents_are_a_dollar() -> None:
    """Sums are exact: the last job that fits is submitted, the next one is not."""
    budget = Budget(limit_usd=1.0)

    fitting = sum(budget.reserve(f"j{n}", 0.01) for n in range(200))

    assert fitting == 100


@pytest.mark.parametrize(
    ("record", "usd"),
    [
        (JobRecord(ts="", job="", state=JobState.DOWNLOADED, cost_usd=0.02, price_usd=0.03), 0.02),
        (JobRecord(ts="", job="", state=JobState.IN_DOUBT, price_usd=0.03), 0.03),
        (JobRecord(ts="", job="", state=JobState.IN_QUEUE, price_usd=0.03), 0.03),
        (JobRecord(ts="", job="", state=JobState.PENDING, price_usd=0.03), 0.0),
        (
            JobRecord(
                ts="", job="", state=JobState.FAILED, price_usd=0.03,
                error=JobError(kind="refused", message=""),
            ),
            0.0,
        ),
        (
            JobRecord(
                ts="", job="", state=JobState.FAILED, price_usd=0.03, earlier_cost_usd=0.01,
                earlier_price_usd=0.05, error=JobError(kind="generation", message=""),
            ),
            0.09,
        ),
    ],
)  # fmt: skip
def test_what_a_job_may_have_cost(record: JobRecord, usd: float) -> None:
    """Reported costs, and the reserved price of whatever may have been charged without a report."""
    assert sum(charge.usd for charge in record.all_charges) == pytest.approx(usd)
