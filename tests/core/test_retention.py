"""What is said about outputs that are paid for and not here yet."""

from __future__ import annotations

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.summary import summarise
from batchgen.reports.status_text import DAY_S, uncollected_sentence


def record(job: str, state: JobState, finished_at: str) -> JobRecord:
    return JobRecord(ts=finished_at, job=job, state=state, finished_at=finished_at)


def test_the_oldest_that_waits_counts() -> None:
    """Of those that are completed; what was downloaded or failed does not wait."""
    found = summarise([
        record("a", JobState.COMPLETED, "2026-11-20T02:00:00.000Z"),
        record("b", JobState.COMPLETED, "2026-11-18T02:00:00.000Z"),
        record("c", JobState.DOWNLOADED, "2026-11-01T02:00:00.000Z"),
    ])  # fmt: skip

    assert found.oldest_uncollected == "2026-11-18T02:00:00.000Z"


def test_the_sentence_gets_louder_with_age() -> None:
    """How many, how old, and what to do; after seven days there is little hope."""
    assert uncollected_sentence(1, 3_600) == (
        "1 job completed, not downloaded; ended 1 h 00 min ago; batchgen run fetches them"
        " (outputs may be deleted after 7 days)"
    )
    assert "the oldest ended 5.5 days ago" in uncollected_sentence(3, 5.5 * DAY_S)
    assert "fetch them now" in uncollected_sentence(3, 5.5 * DAY_S)
    assert "may be gone" in uncollected_sentence(3, 8 * DAY_S)
