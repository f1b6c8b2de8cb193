"""The timeline: what is drawn of a ledger, whatever its lines are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.timeline import PAUSE_S, POINTS, Timeline, TimelineChart
from batchgen.core.units import timestamp

BEGIN_S = 1_800_000_000.0
LIFE = (JobState.SUBMITTING, JobState.IN_QUEUE, JobState.IN_PROGRESS, JobState.COMPLETED,
    JobState.DOWNLOADED)  # fmt: skip


def chart_of(*lines: tuple[float, str, JobState]) -> TimelineChart | None:
    """Return the chart of lines: seconds after the beginning, job, state."""
    timeline = Timeline()
    for at_s, job, state in lines:
        timeline.take(JobRecord(ts=timestamp(BEGIN_S + at_s), job=job, state=state))
    return timeline.chart()


def test_a_job_is_queued_running_and_done() -> None:
    """It counts in one of them at a time, and stays done."""
    chart = chart_of(*((n * 30.0, "a", state) for n, state in enumerate(LIFE)))
    assert chart is not None
    assert (chart.begin_s, chart.end_s) == (BEGIN_S, BEGIN_S + 120)
    assert set(chart.submitted) == {1}
    assert chart.queued == [1] * 60 + [0] * 61
    assert chart.running == [0] * 60 + [1] * 30 + [0] * 31
    assert chart.done == [0] * 90 + [1] * 31


def test_only_the_last_night_is_drawn() -> None:
    """Work after a long pause begins another chart; what is in flight is still in flight."""
    night = PAUSE_S + 2
    chart = chart_of(
        (0, "a", JobState.SUBMITTING), (1, "a", JobState.IN_PROGRESS),
        (night, "b", JobState.SUBMITTING), (night + 10, "a", JobState.DOWNLOADED),
    )  # fmt: skip
    assert chart is not None
    assert chart.begin_s == BEGIN_S + night
    assert chart.submitted[-1] == 1
    assert chart.running[0] == 1
    assert (chart.running[-1], chart.done[-1]) == (0, 1)


def test_nothing_to_see() -> None:
    """No line and one moment give no chart."""
    assert chart_of() is None
    assert chart_of((0, "a", JobState.DOWNLOADED)) is None


def test_outages_are_cut_at_the_edges() -> None:
    """Those of another night are left out."""
    timeline = Timeline()
    for at_s in (0.0, 100.0):
        record = JobRecord(ts=timestamp(BEGIN_S + at_s), job="a", state=JobState.SUBMITTING)
        timeline.take(record)
    outages = [(BEGIN_S - 50, BEGIN_S - 20), (BEGIN_S - 5, BEGIN_S + 5), (BEGIN_S + 90, 2e9)]
    chart = timeline.chart(outages)
    assert chart is not None
    assert chart.outages == [(BEGIN_S, BEGIN_S + 5), (BEGIN_S + 90, BEGIN_S + 100)]


lines = st.lists(
    st.tuples(
        st.floats(0, 4 * PAUSE_S), st.sampled_from(["a", "b", "c"]), st.sampled_from(list(JobState))
    ),
    max_size=30,
)


@given(lines)
def test_any_ledger_gives_a_chart_that_can_be_drawn(
    found: list[tuple[float, str, JobState]],
) -> None:
    """Times in any order, states in any order: 121 points, no negative number, done only grows."""
    chart = chart_of(*found)
    if chart is None:
        return
    for counts in (chart.submitted, chart.queued, chart.running, chart.done, chart.failed):
        assert len(counts) == POINTS + 1
        assert min(counts) >= 0
    assert chart.done == sorted(chart.done)
    assert all(q + r <= 3 for q, r in zip(chart.queued, chart.running, strict=True))
    assert chart.begin_s < chart.end_s
