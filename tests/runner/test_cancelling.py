"""Cancelling: what both answers say together, and when the result is asked once more."""

from __future__ import annotations

import pytest

from batchgen.core.api_answers import (
    Broke,
    CancelOutcome,
    Ended,
    Gone,
    PollAnswer,
    Produced,
    Queued,
    Running,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.events import JobError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.runner.stopping import Cancellations, cancel_all
from tests.kit.fakes import MemoryAPI, MemoryLedger
from tests.kit.time import LoopClock, leap

ERROR = JobError(kind="x", message="x")
CANCELLED, NOT, UNKNOWN = CancelOutcome
PROOFS: dict[tuple[CancelOutcome, type], str] = {
    **{(outcome, WasCancelled): "cancelled" for outcome in CancelOutcome},
    **{(outcome, Produced): "running" for outcome in CancelOutcome},
    **{(outcome, Broke): "running" for outcome in CancelOutcome},
    **{(outcome, TokenRejected): "rejected" for outcome in CancelOutcome},
    (NOT, Running): "running", (UNKNOWN, Running): "running", (NOT, Queued): "running",
}  # fmt: skip
"""What is certain; every other pair of answers is unknown."""
RESULTS = (
    WasCancelled(), Produced(outputs=()), Broke(error=ERROR), Running(), Running(unknown_word="x"),
    Queued(), Queued(position=1), Ended(), Gone(error=ERROR), TryAgain(error=ERROR),
    TokenRejected(error=ERROR),
)  # fmt: skip


def cancelled(outcome: CancelOutcome, *results: PollAnswer) -> tuple[Cancellations, str, int]:
    """Return what was found, the state on record then, and how often the result was asked."""
    asked = 0

    class Remote(MemoryAPI):
        async def cancel(self, request_id: str) -> CancelOutcome:
            return outcome

        async def result(self, request_id: str) -> PollAnswer:
            nonlocal asked
            asked += 1
            return results[min(asked, len(results)) - 1]

    record = JobRecord(ts="", job="a", state=JobState.IN_QUEUE, request_id="r")
    ledger = MemoryLedger(known={"a": record})
    found = leap(cancel_all(Remote(), ledger, [record], LoopClock()))
    return found, ledger.states()["a"], asked


@pytest.mark.parametrize("result", RESULTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("outcome", CancelOutcome)
def test_only_what_is_certain_is_reported(outcome: CancelOutcome, result: PollAnswer) -> None:
    """Cancelled if the result says so, running or ended if it is; all else is unconfirmed."""
    expected = PROOFS.get((outcome, type(result)), "unknown")

    found, state, asked = cancelled(outcome, result)

    assert found == Cancellations(**{expected: 1})
    assert state == ("cancelled" if expected == "cancelled" else "in_queue")
    assert asked == (4 if expected == "unknown" else 1)


@pytest.mark.parametrize("late", [1, 2, 3])
@pytest.mark.parametrize("first", [Queued(), Running(), TryAgain(error=ERROR)], ids=repr)
def test_a_cancellation_that_the_result_does_not_show_yet_is_asked_again(
    first: PollAnswer, late: int
) -> None:
    """A result that lags behind the cancellation by a moment is no reason to call it running."""
    found, state, asked = cancelled(CANCELLED, *[first] * late, WasCancelled())

    assert (found.cancelled, state, asked) == (1, "cancelled", late + 1)
