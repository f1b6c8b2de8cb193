"""The sentences of `status`, and of the end of a run."""

from __future__ import annotations

from batchgen.reports.status_text import DAY_S, uncollected_sentence


def test_the_sentence_gets_louder_with_age() -> None:
    """How many, how old, and what to do; after seven days there is little hope."""
    assert uncollected_sentence(1, 3_600) == (
        "1 job completed, not downloaded; ended 1 h 00 min ago; batchgen run fetches them"
        " (outputs may be deleted after 7 days)"
    )
    assert "the oldest ended 5.5 days ago" in uncollected_sentence(3, 5.5 * DAY_S)
    assert "fetch them now" in uncollected_sentence(3, 5.5 * DAY_S)
    assert "may be gone" in uncollected_sentence(3, 8 * DAY_S)
