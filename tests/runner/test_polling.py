"""Jobs in flight: what is paid for is polled to its end, and what each end leads to."""

from __future__ import annotations

import asyncio

import pytest

from batchgen.core.api_answers import (
    Broke,
    Gone,
    PollAnswer,
    Produced,
    TryAgain,
)
from batchgen.core.events import JobError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.runner.runner import Outcome
from batchgen.runner.stopping import Limits
from tests.kit.fakes import MemoryAPI, job
from tests.kit.time import leap
from tests.runner.world import RunnerWorld, many, now_s


def test_what_is_paid_for_is_polled_before_anything_is_submitted() -> None:
    """On resume, jobs in flight are polled first and count against the cap."""
    order: list[str] = []
    world = RunnerWorld(limits=Limits(concurrency=2))
    world.api.on_submit = lambda values, n: order.append(str(values["prompt"])) or None  # type: ignore[func-returns-value]
    world.api.on_poll = lambda rid, n: order.append(rid) or None  # type: ignore[func-returns-value]
    for n in range(3):
        world.ledger.known[f"j{n}"] = JobRecord(
            ts="t", job=f"j{n}", state=JobState.IN_QUEUE, request_id=f"old{n}",
            fingerprint=job(f"j{n}", f"prompt {n}").fingerprint,
        )  # fmt: skip

    async def resumed() -> Outcome:
        for n in range(3):
            world.api.resume(f"old{n}", ends_in_s=5.0)
        return await world.run_in_loop(many(5))

    leap(resumed())

    first_post = min(order.index("prompt 3"), order.index("prompt 4"))
    assert {"old0", "old1", "old2"} <= set(order[:first_post])
    assert set(world.api.posts) == {"prompt 3", "prompt 4"}
    assert set(world.ledger.states().values()) == {"downloaded"}


def test_a_paid_job_whose_row_is_gone_is_collected() -> None:
    """Removing a row from the spreadsheet does not throw away what it cost."""
    world = RunnerWorld()
    world.ledger.known["gone"] = JobRecord(
        ts="t", job="gone", state=JobState.IN_PROGRESS, request_id="old", fingerprint="f"
    )

    async def resumed() -> Outcome:
        world.api.resume("old", ends_in_s=1.0)
        return await world.run_in_loop(many(1))

    leap(resumed())

    assert world.ledger.states() == {"gone": "downloaded", "j0": "downloaded"}


def test_an_edited_row_waits_for_its_old_request() -> None:
    """The old input is collected first; then the new one is submitted under the same id."""
    order: list[str] = []
    world = RunnerWorld()
    world.ledger.known["j0"] = JobRecord(
        ts="t", job="j0", state=JobState.IN_QUEUE, request_id="old", fingerprint="before"
    )
    world.api.on_submit = lambda values, n: order.append("POST") or None  # type: ignore[func-returns-value]

    async def resumed() -> Outcome:
        world.api.resume("old", ends_in_s=3.0)
        return await world.run_in_loop(many(1))

    leap(resumed())

    names = [type(event).__name__ for _, event in world.ledger.events]
    assert names.index("Saved") < names.index("Intended")
    record = world.ledger.get("j0")
    assert record is not None
    assert (record.state, record.attempt) == (JobState.DOWNLOADED, 1)
    assert record.fingerprint == many(1)[0].fingerprint


def test_polling_outlasts_a_long_outage() -> None:
    """Half an hour of failing polls costs time and nothing else."""

    def outage(rid: str, n: int) -> PollAnswer | None:
        down = asyncio.get_running_loop().time() < 1800
        error = JobError(kind="lost_answer", message="bad gateway", http_status=504)
        return TryAgain(error=error) if down and n > 1 else None

    world = RunnerWorld(
        api=MemoryAPI(on_poll=outage, duration_s=5.0), limits=Limits(job_timeout_s=7200)
    )

    outcome = world.run(many(3))

    assert outcome.reasons == ()
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert set(world.api.posts.values()) == {1}
    assert max(world.api.polls.values()) < 130, "backs off to half a minute"


def test_the_end_of_an_outage_is_news_for_every_job() -> None:
    """Once one job is answered again, the others do not wait for the end of their backoff."""

    def outage(rid: str, n: int) -> PollAnswer | None:
        error = JobError(kind="lost_answer", message="bad gateway", http_status=504)
        return TryAgain(error=error) if now_s() < 600 else None

    api = MemoryAPI(on_poll=outage, duration_s=5.0)
    world = RunnerWorld(api=api, limits=Limits(concurrency=20))

    world.run(many(20))

    assert set(world.ledger.states().values()) == {"downloaded"}
    assert world.took_s < 600 + 10


def test_a_job_that_hangs_is_given_up_for_this_run_only() -> None:
    """After its time-out the slot is free again, and the job stays in flight in the ledger."""
    world = RunnerWorld(
        api=MemoryAPI(duration_s=1e6), limits=Limits(concurrency=1, job_timeout_s=60.0)
    )

    outcome = world.run(many(2))

    assert outcome.reasons == ()
    assert world.took_s < 200
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}
    assert len(world.ledger.states()) == 2


@pytest.mark.parametrize(
    ("cost_usd", "kind", "posts"),
    [
        (None, "generation", 3),
        (0.0, "generation", 3),
        (0.03, "generation", 1),
        (None, "content", 1),
    ],
)
def test_a_reported_failure_is_generated_again_only_if_it_was_free(
    cost_usd: float | None, kind: str, posts: int
) -> None:
    """Up to the attempts allowed, unless it reported a cost or refused the content."""
    broke = Broke(error=JobError(kind=kind, message="boom"), cost_usd=cost_usd)
    world = RunnerWorld(api=MemoryAPI(on_result=lambda rid: broke))

    world.run(many(1))

    assert world.api.posts.total() == posts
    assert world.ledger.states() == {"j0": "failed"}


def test_a_success_without_output_fails_and_is_not_paid_again() -> None:
    """It was paid for; another POST is the user's decision."""
    world = RunnerWorld(api=MemoryAPI(on_result=lambda rid: Produced(outputs=())))

    world.run(many(1))

    record = world.ledger.get("j0")
    assert record is not None
    assert record.error is not None
    assert (record.state, record.error.kind) == (JobState.FAILED, "no_output")
    assert world.api.posts.total() == 1


def test_a_forgotten_request_is_expired_and_is_not_paid_again() -> None:
    """The API no longer knows it: failed, and held for the user."""
    gone = Gone(error=JobError(kind="expired", message="unknown"))
    world = RunnerWorld(api=MemoryAPI(on_poll=lambda rid, n: gone))

    world.run(many(1))

    record = world.ledger.get("j0")
    assert record is not None
    assert record.error is not None
    assert record.error.kind == "expired"
    assert world.api.posts.total() == 1


def test_a_row_that_goes_back_uses_what_was_made_for_it() -> None:
    """It is restored without a call, and nothing that was spent is forgotten."""
    world = RunnerWorld()
    first, edited = [job("j0", "first")], [job("j0", "edited")]
    world.run(first)
    world.run(edited)
    again = RunnerWorld(ledger=world.ledger)

    again.run(first)

    assert (again.api.posts.total(), again.api.polls.total(), again.store.tries.total()) == (
        0,
        0,
        0,
    )
    record = world.ledger.get("j0")
    assert record is not None
    assert (record.fingerprint, record.state) == (first[0].fingerprint, JobState.DOWNLOADED)
    assert record.total_cost_usd == pytest.approx(0.06)
