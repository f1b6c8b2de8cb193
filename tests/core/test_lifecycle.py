"""The lifecycle: one table, its drawing, and the fold."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from batchgen.core import events
from batchgen.core.events import ErrorKind, Event, Intended, JobError, OutputFile
from batchgen.core.lifecycle import (
    PAID_FOR,
    TRANSITIONS,
    IllegalTransition,
    JobRecord,
    JobState,
    apply,
)

DRAWING = Path(__file__).resolve().parents[2] / "batchgen" / "ARCHITECTURE.md"
ERROR = JobError(kind=ErrorKind.GENERATION, message="no")
ALL_EVENTS: tuple[Event, ...] = (
    events.Intended(model="a/b", input={"prompt": "x"}, fingerprint="f2"),
    events.Accepted(request_id="r1"),
    events.NotAccepted(error=ERROR),
    events.Refused(error=ERROR),
    events.AnswerLost(error=ERROR),
    events.Started(),
    events.Succeeded(outputs=("https://x/1",), cost_usd=0.03),
    events.Failed(error=ERROR, cost_usd=0.01),
    events.Cancelled(),
    events.Attached(request_id="r7"),
    events.GivenUp(),
    events.Granted(),
    events.FilesLost(),
    events.Saved(files=(OutputFile(path="a.png", bytes=1, sha256="0"),)),
)
EVENTS = {type(event): event for event in ALL_EVENTS}


def record(state: JobState, *, fingerprint: str = "f1") -> JobRecord:
    """A record in any state."""
    return JobRecord(ts="t0", job="j", state=state, fingerprint=fingerprint, request_id="r0")


def test_every_event_is_in_the_table_of_this_test() -> None:
    """An event that is added must be tried below."""
    assert set(EVENTS) == set(get_args(Event))


@pytest.mark.parametrize(("state", "event"), [*product(JobState, EVENTS.values())], ids=str)
def test_table_and_fold_agree(state: JobState, event: Event) -> None:
    """`apply` does what the table says, and refuses everything else."""
    target = TRANSITIONS[state].get(type(event))

    if target is None:
        with pytest.raises(IllegalTransition):
            apply(record(state), event, job="j", ts="t1")
    else:
        folded = apply(record(state), event, job="j", ts="t1")
        assert (folded.state, folded.ts, folded.job) == (target, "t1", "j")


def test_drawing_and_table_agree() -> None:
    """Every arrow of ARCHITECTURE.md is a row of the table, and the other way round."""
    text = DRAWING.read_text(encoding="utf-8")
    drawn = {
        (source, event, target)
        for source, target, event in re.findall(r"^ +(\w+) --> (\w+) *: (\w+)$", text, re.MULTILINE)
    }
    table = {
        (source.value, event.__name__, target.value)
        for source, row in TRANSITIONS.items()
        for event, target in row.items()
    }

    assert drawn == table


def test_only_an_intent_leads_to_a_submission() -> None:
    """Nothing but a durable intent can lead to a POST."""
    leading = {
        event
        for row in TRANSITIONS.values()
        for event, target in row.items()
        if target is JobState.SUBMITTING
    }

    assert leading == {Intended}


def test_nothing_in_flight_can_be_submitted_again() -> None:
    """While the API has a job, no event leads to another POST for it."""
    for state in (JobState.SUBMITTING, JobState.IN_QUEUE, JobState.IN_PROGRESS):
        assert Intended not in TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(PAID_FOR))
def test_same_input_is_never_paid_for_twice(state: JobState) -> None:
    """An input that has an output cannot be submitted again, whoever asks."""
    same = Intended(model="a/b", input={"prompt": "x"}, fingerprint="f1")

    with pytest.raises(IllegalTransition, match="for this very input"):
        apply(record(state, fingerprint="f1"), same, job="j", ts="t1")


def test_a_post_that_was_not_accepted_is_no_attempt() -> None:
    """Attempts count POSTs that were accepted or are in doubt, and only those."""
    intent = EVENTS[Intended]
    first = apply(None, intent, job="j", ts="t1")
    back = apply(first, events.NotAccepted(error=ERROR), job="j", ts="t2")
    again = apply(back, intent, job="j", ts="t3")
    lost = apply(again, events.AnswerLost(error=ERROR), job="j", ts="t4")
    third = apply(lost, intent, job="j", ts="t5")

    assert (first.attempt, back.attempts, again.attempt, lost.attempts, third.attempt) == (
        1, 0, 1, 1, 2,
    )  # fmt: skip


def test_an_edited_row_starts_at_one_and_keeps_its_cost() -> None:
    """Attempts count per input; the money that was spent before stays on record."""
    done = JobRecord(
        ts="t0", job="j", state=JobState.DOWNLOADED, attempt=2, fingerprint="f1",
        request_id="r9", outputs=("https://x/1",), cost_usd=0.03, earlier_cost_usd=0.02,
    )  # fmt: skip

    edited = apply(done, EVENTS[Intended], job="j", ts="t1")

    assert (edited.attempt, edited.request_id, edited.outputs) == (1, None, ())
    assert edited.total_cost_usd == pytest.approx(0.05)
