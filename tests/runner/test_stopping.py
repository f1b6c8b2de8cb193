"""Reasons to stop: what each one ends, what it still allows, and how fast."""

from __future__ import annotations

import asyncio
from collections import Counter

from batchgen.core.api_answers import (
    Broke,
    CancelOutcome,
    NoBalance,
    SubmitAnswer,
    TokenRejected,
    TryAgain,
)
from batchgen.core.errors import LocalIOError
from batchgen.core.events import Accepted, Event, JobError
from batchgen.core.stop_reasons import StopReason
from batchgen.runner.runner import Runner
from batchgen.runner.stopping import Limits
from tests.kit.fakes import MemoryAPI, MemoryLedger
from tests.runner.world import RunnerWorld, interrupt_after, many


def test_a_rejected_token_stops_the_run_and_fails_nothing() -> None:
    """Nothing is submitted after it, and the job goes back to pending."""
    rejected = TokenRejected(error=JobError(kind="not_accepted", message="UserAccountError"))
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda values, n: rejected), limits=Limits(concurrency=1)
    )

    outcome = world.run(many(9))

    assert outcome.reasons == (StopReason.TOKEN,)
    assert world.ledger.states() == {"j0": "pending"}
    assert world.api.posts.total() == 1


def test_an_exhausted_balance_stops_submissions_and_collects_the_rest() -> None:
    """Jobs in flight are paid for: they are polled and downloaded all the same."""
    empty = NoBalance(error=JobError(kind="not_accepted", message="InsufficientResources"))

    def third(values: object, n: int) -> SubmitAnswer | None:
        return empty if len(world.api.created) >= 2 else None

    world = RunnerWorld(limits=Limits(concurrency=1))
    world.api.on_submit = third

    outcome = world.run(many(6))

    assert outcome.reasons == (StopReason.BALANCE,)
    assert world.ledger.states() == {"j0": "downloaded", "j1": "downloaded", "j2": "pending"}


def test_nothing_reachable_at_the_start_ends_the_run_soon() -> None:
    """A wrong address or a dead network is reported within the wait that was allowed."""
    error = JobError(kind="not_accepted", message="connection refused")
    nobody = TryAgain(error=error, answered=False)
    world = RunnerWorld(api=MemoryAPI(on_submit=lambda values, n: nobody))

    outcome = world.run(many(20))

    assert outcome.reasons == (StopReason.UNREACHABLE,)
    assert 20 <= world.took_s < 60
    assert set(world.ledger.states().values()) == {"pending"}


def test_an_hour_of_silence_ends_a_run_that_was_once_answered() -> None:
    """The run waits long, but not for ever; what is in flight stays resumable."""
    silent = TryAgain(error=JobError(kind="lost_answer", message="no answer"), answered=False)
    world = RunnerWorld(
        api=MemoryAPI(on_poll=lambda rid, n: silent if n > 1 else None),
        limits=Limits(job_timeout_s=36_000),
    )

    outcome = world.run(many(2))

    assert outcome.reasons == (StopReason.SILENT,)
    assert 3600 <= world.took_s < 3700
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}


def test_a_signal_drains() -> None:
    """Nothing new is sent, the answer on its way is recorded, and the run ends within seconds."""
    world = RunnerWorld(api=MemoryAPI(answer_s=2.0, duration_s=1000), limits=Limits(concurrency=4))

    outcome = world.run(many(50), interrupt_after(3.0))

    assert outcome.reasons == (StopReason.SIGINT,)
    assert world.took_s < 3 + 5
    assert len(world.api.created) == 4
    assert sorted(world.ledger.states().values()) == ["in_queue"] * 4


def test_a_signal_does_not_wait_for_a_hanging_answer() -> None:
    """A job that is not answered in time is left as it is, and is in doubt next time."""
    world = RunnerWorld(api=MemoryAPI(answer_s=60.0), limits=Limits(concurrency=2))

    world.run(many(9), interrupt_after(1.0, StopReason.SIGTERM))

    assert world.took_s < 5.5
    assert set(world.ledger.states().values()) == {"submitting"}


def test_an_intent_that_became_durable_after_the_signal_is_not_sent() -> None:
    """Between intent and POST the run checks once more whether it may."""
    world = RunnerWorld(ledger=MemoryLedger(fsync_s=2.0))

    world.run(many(3), interrupt_after(1.0))

    assert world.api.posts.total() == 0
    assert set(world.ledger.states().values()) == {"pending"}


def test_cancel_on_interrupt_cancels_what_is_queued_and_confirms_it() -> None:
    """With --on-interrupt cancel; running jobs are left as they are."""
    world = RunnerWorld(
        api=MemoryAPI(duration_s=1e5), limits=Limits(concurrency=5, cancel_on_interrupt=True)
    )

    def during(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(2.0, lambda: world.api.resume("r1", ends_in_s=1e4))  # it runs from now on
        interrupt_after(3.0)(runner)

    world.run(many(20), during)

    found = world.ledger.states()
    assert found.pop("j0") in ("in_queue", "in_progress")
    assert found == {f"j{n}": "cancelled" for n in range(1, 5)}
    assert world.took_s < 8


def test_a_cancellation_counts_only_if_the_result_says_so() -> None:
    """A job whose result does not is still billed: it stays in flight."""

    class Lying(MemoryAPI):
        async def cancel(self, request_id: str) -> CancelOutcome:
            return CancelOutcome.CANCELLED

    world = RunnerWorld(
        api=Lying(duration_s=1e5), limits=Limits(concurrency=2, cancel_on_interrupt=True)
    )

    world.run(many(2), interrupt_after(3.0))

    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}
    assert "0 cancelled, 0 not cancellable, 2 not confirmed" in world.notes.notes


def test_a_full_disk_stops_before_anything_is_sent() -> None:
    """An intent that cannot be written is a POST that does not leave."""
    world = RunnerWorld()
    world.ledger.fail_on = lambda name, event: LocalIOError("disk full")

    outcome = world.run(many(3))

    assert isinstance(outcome.failure, LocalIOError)
    assert world.api.posts.total() == 0


def test_a_paid_job_that_cannot_be_written_is_named_to_the_user() -> None:
    """The one fact that the disk refused is printed, with the command that brings it back."""

    def full_after_post(name: str, event: Event) -> Exception | None:
        return LocalIOError("disk full") if isinstance(event, Accepted) else None

    world = RunnerWorld()
    world.ledger.fail_on = full_after_post

    world.run(many(1))

    assert any("--job j0 --request-id r1" in note for note in world.notes.notes)


def test_max_runtime_winds_down_by_what_it_has_learned() -> None:
    """Nothing is submitted that could not end in time, and what was submitted is collected."""
    world = RunnerWorld(limits=Limits(concurrency=4, ends_at_s=100.0))

    outcome = world.run(many(500))

    assert outcome.reasons[0] is StopReason.RUNTIME
    assert world.took_s <= 100.1
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert len(world.ledger.states()) >= 28, "the time that was there was used"


def test_when_time_is_over_the_run_ends_whatever_hangs() -> None:
    """A job that takes for ever stays resumable."""
    world = RunnerWorld(api=MemoryAPI(duration_s=1e6), limits=Limits(ends_at_s=100.0))

    outcome = world.run(many(3))

    assert StopReason.TIME_OVER in outcome.reasons
    assert world.took_s < 106
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}


def test_too_many_failures_stop_the_run() -> None:
    """--max-failures: submissions end, what is in flight is collected."""
    broke = Broke(error=JobError(kind="content", message="no"))
    world = RunnerWorld(
        api=MemoryAPI(on_result=lambda rid: broke), limits=Limits(concurrency=1, max_failures=3)
    )

    outcome = world.run(many(20))

    assert outcome.reasons == (StopReason.FAILURES,)
    assert Counter(world.ledger.states().values()) == {"failed": 3}
