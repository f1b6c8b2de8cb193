"""The runner's promises, in virtual time against a remote side in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.api_answers import (
    Broke,
    Doubt,
    Gone,
    NoBalance,
    PollAnswer,
    Produced,
    RowRefused,
    SubmitAnswer,
    TokenRejected,
    TryAgain,
)
from batchgen.core.errors import LocalIOError
from batchgen.core.events import Accepted, Event, Intended, JobError
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.core.stop_reasons import StopReason
from batchgen.ports import LinkExpired, SaveAnswer, SaveLater
from batchgen.runner import Limits, Outcome, Runner, Spending
from tests.kit.fakes import Jobs, MemoryAPI, MemoryLedger, MemoryStore, Notes, job
from tests.kit.time import LoopClock, leap

OOPS = JobError(kind="generation", message="boom")


@dataclass
class World:
    """A runner with everything around it in memory."""

    api: MemoryAPI = field(default_factory=MemoryAPI)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    store: MemoryStore = field(default_factory=MemoryStore)
    notes: Notes = field(default_factory=Notes)
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    spending: Spending | None = None
    took_s: float = 0.0

    def run(self, jobs: list[Job], during: Callable[[Runner], None] | None = None) -> Outcome:
        """Run once in virtual time; `during` may set up something at the beginning."""
        return leap(self.run_in_loop(jobs, during))

    async def run_in_loop(
        self, jobs: list[Job], during: Callable[[Runner], None] | None = None
    ) -> Outcome:
        runner = Runner(
            api=self.api, ledger=self.ledger, outputs=self.store, clock=LoopClock(),
            observer=self.notes, policy=self.policy, limits=self.limits, rng=random.Random(7),
            spending=self.spending,
        )  # fmt: skip
        if during:
            during(runner)
        began_s = asyncio.get_running_loop().time()
        outcome = await runner.run(Jobs(jobs))
        self.took_s = asyncio.get_running_loop().time() - began_s
        return outcome


def many(count: int) -> list[Job]:
    """Jobs with prompts of their own."""
    return [job(f"j{n}", f"prompt {n}") for n in range(count)]


def test_every_job_comes_to_its_end_once() -> None:
    """Each row is submitted once, polled to its end and downloaded."""
    world = World()

    outcome = world.run(many(30))

    assert outcome.reasons == ()
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert set(world.api.posts.values()) == {1}


def test_a_second_run_does_nothing() -> None:
    """What is done is not touched: no POST, no look, no download."""
    world = World()
    world.run(many(5))
    again = World(ledger=world.ledger)

    again.run(many(5))

    assert (again.api.posts.total(), again.api.looks.total(), again.store.tries.total()) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize("cap", [1, 3, 8])
def test_the_cap_is_filled_and_never_exceeded(cap: int) -> None:
    """As the remote side sees it: never more in flight than the cap, and never fewer for long."""
    world = World(limits=Limits(concurrency=cap))

    world.run(many(24))

    assert world.api.high_water == cap
    ideal_s = 24 / cap * world.api.duration_s
    assert world.took_s < ideal_s * 1.35


def test_intent_is_recorded_before_each_post_and_the_id_before_anything_else() -> None:
    """The order that no crash can turn into a second payment."""
    order: list[str] = []
    api = MemoryAPI(on_submit=lambda values, n: order.append("POST") or None)  # type: ignore[func-returns-value]
    ledger = MemoryLedger(fsync_s=0.5)
    ledger.fail_on = lambda name, event: order.append(type(event).__name__) or None  # type: ignore[func-returns-value]
    api.on_look = lambda rid, n: order.append("look") or None  # type: ignore[func-returns-value]
    world = World(api=api, ledger=ledger)

    world.run(many(1))

    assert order[:4] == ["Intended", "POST", "Accepted", "look"]


@pytest.mark.parametrize("status", [None, 408, 425, 429, 503])
def test_what_was_proven_not_accepted_is_sent_again(status: int | None) -> None:
    """After a proof the same job is posted again, with an intent of its own each time."""
    error = JobError(kind="not_accepted", message="later", http_status=status)

    def twice(values: object, n: int) -> SubmitAnswer | None:
        return TryAgain(error=error, answered=status is not None) if n <= 2 else None

    world = World(api=MemoryAPI(on_submit=twice))

    world.run(many(1))

    assert world.api.posts.total() == 3
    assert world.ledger.states() == {"j0": "downloaded"}
    assert sum(isinstance(event, Intended) for _, event in world.ledger.events) == 3
    record = world.ledger.get("j0")
    assert record is not None
    assert record.attempts == 1


def test_retry_after_is_kept_by_all() -> None:
    """When the API asks for a pause, no submission leaves before it is over."""
    sent: list[float] = []

    def told(values: object, n: int) -> SubmitAnswer | None:
        sent.append(asyncio.get_running_loop().time())
        error = JobError(kind="not_accepted", message="rate", http_status=429)
        return TryAgain(error=error, retry_after_s=30.0) if len(sent) == 1 else None

    world = World(api=MemoryAPI(on_submit=told), limits=Limits(concurrency=1))

    world.run(many(3))

    assert sent[1] - sent[0] >= 30.0


def test_a_lost_answer_is_doubt_and_is_never_posted_again() -> None:
    """One POST, one record in doubt, and the next run holds it too."""
    lost = Doubt(error=JobError(kind="lost_answer", message="reset"))
    world = World(api=MemoryAPI(on_submit=lambda values, n: lost))
    world.run(many(2))
    again = World(api=world.api, ledger=world.ledger)

    again.run(many(2))

    assert world.ledger.states() == {"j0": "in_doubt", "j1": "in_doubt"}
    assert set(world.api.posts.values()) == {1}


def test_doubts_are_posted_again_where_the_user_says_so() -> None:
    """With resubmission allowed, a doubt gets another attempt, up to the limit."""
    lost = Doubt(error=JobError(kind="lost_answer", message="reset"))
    api = MemoryAPI(on_submit=lambda values, n: lost)
    world = World(api=api, policy=Policy(resubmit_doubts=True, max_attempts=3))

    world.run(many(1))

    assert world.api.posts.total() == 3
    assert world.ledger.states() == {"j0": "in_doubt"}


def test_a_refused_row_fails_alone() -> None:
    """The API's word on one input says nothing about the others."""
    error = JobError(kind="refused", message="too long", http_status=422)

    def refuse_third(values: object, n: int) -> SubmitAnswer | None:
        assert isinstance(values, dict)
        return RowRefused(error=error) if values["prompt"] == "prompt 2" else None

    world = World(api=MemoryAPI(on_submit=refuse_third))

    outcome = world.run(many(5))

    assert outcome.reasons == ()
    states = world.ledger.states()
    assert states.pop("j2") == "failed"
    assert set(states.values()) == {"downloaded"}


def test_a_rejected_token_stops_the_run_and_fails_nothing() -> None:
    """Nothing is submitted after it, and the job goes back to pending."""
    rejected = TokenRejected(error=JobError(kind="not_accepted", message="UserAccountError"))
    world = World(api=MemoryAPI(on_submit=lambda values, n: rejected), limits=Limits(concurrency=1))

    outcome = world.run(many(9))

    assert outcome.reasons == (StopReason.TOKEN,)
    assert world.ledger.states() == {"j0": "pending"}
    assert world.api.posts.total() == 1


def test_an_exhausted_balance_stops_submissions_and_collects_the_rest() -> None:
    """What is in flight is paid for: it is polled and downloaded all the same."""
    empty = NoBalance(error=JobError(kind="not_accepted", message="InsufficientResources"))

    def third(values: object, n: int) -> SubmitAnswer | None:
        return empty if len(world.api.created) >= 2 else None

    world = World(limits=Limits(concurrency=1))
    world.api.on_submit = third

    outcome = world.run(many(6))

    assert outcome.reasons == (StopReason.BALANCE,)
    assert world.ledger.states() == {"j0": "downloaded", "j1": "downloaded", "j2": "pending"}


@pytest.mark.parametrize(
    ("cost_usd", "kind", "posts"),
    [
        (None, "generation", 3),
        (0.0, "generation", 3),
        (0.03, "generation", 1),
        (None, "content", 1),
    ],
)
def test_a_reported_failure_is_generated_again_only_where_it_was_free(
    cost_usd: float | None, kind: str, posts: int
) -> None:
    """Up to the attempts allowed, unless it reported a cost or refused the content."""
    broke = Broke(error=JobError(kind=kind, message="boom"), cost_usd=cost_usd)
    world = World(api=MemoryAPI(on_result=lambda rid: broke))

    world.run(many(1))

    assert world.api.posts.total() == posts
    assert world.ledger.states() == {"j0": "failed"}


def test_a_success_without_output_fails_and_is_not_paid_again() -> None:
    """It was paid for; another POST is a person's decision."""
    world = World(api=MemoryAPI(on_result=lambda rid: Produced(outputs=())))

    world.run(many(1))

    record = world.ledger.get("j0")
    assert record is not None
    assert record.error is not None
    assert (record.state, record.error.kind) == (JobState.FAILED, "no_output")
    assert world.api.posts.total() == 1


def test_a_forgotten_request_is_expired_and_is_not_paid_again() -> None:
    """The API no longer knows it: failed, and held for a person."""
    gone = Gone(error=JobError(kind="expired", message="unknown"))
    world = World(api=MemoryAPI(on_look=lambda rid, n: gone))

    world.run(many(1))

    record = world.ledger.get("j0")
    assert record is not None
    assert record.error is not None
    assert record.error.kind == "expired"
    assert world.api.posts.total() == 1


def test_polling_outlasts_a_long_outage() -> None:
    """Half an hour of failing polls costs time and nothing else."""

    def outage(rid: str, n: int) -> PollAnswer | None:
        down = asyncio.get_running_loop().time() < 1800
        error = JobError(kind="lost_answer", message="bad gateway", http_status=504)
        return TryAgain(error=error) if down and n > 1 else None

    world = World(api=MemoryAPI(on_look=outage, duration_s=5.0), limits=Limits(job_timeout_s=7200))

    outcome = world.run(many(3))

    assert outcome.reasons == ()
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert set(world.api.posts.values()) == {1}
    assert max(world.api.looks.values()) < 130, "backs off to half a minute"


def test_nothing_reachable_at_the_start_ends_the_run_soon() -> None:
    """A wrong address or a dead network is said within the wait that was allowed."""
    error = JobError(kind="not_accepted", message="connection refused")
    nobody = TryAgain(error=error, answered=False)
    world = World(api=MemoryAPI(on_submit=lambda values, n: nobody))

    outcome = world.run(many(20))

    assert outcome.reasons == (StopReason.UNREACHABLE,)
    assert 20 <= world.took_s < 60
    assert set(world.ledger.states().values()) == {"pending"}


def test_an_hour_of_silence_ends_a_run_that_was_once_answered() -> None:
    """The run waits long, but not for ever; what is in flight stays resumable."""
    silent = TryAgain(error=JobError(kind="lost_answer", message="no answer"), answered=False)
    world = World(
        api=MemoryAPI(on_look=lambda rid, n: silent if n > 1 else None),
        limits=Limits(job_timeout_s=36_000),
    )

    outcome = world.run(many(2))

    assert outcome.reasons == (StopReason.SILENT,)
    assert 3600 <= world.took_s < 3700
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}


def test_what_is_paid_for_is_looked_at_before_anything_is_submitted() -> None:
    """On resume, jobs in flight are polled first and count against the cap."""
    order: list[str] = []
    world = World(limits=Limits(concurrency=2))
    world.api.on_submit = lambda values, n: order.append(str(values["prompt"])) or None  # type: ignore[func-returns-value]
    world.api.on_look = lambda rid, n: order.append(rid) or None  # type: ignore[func-returns-value]
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
    world = World()
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
    world = World()
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


def test_a_job_that_hangs_is_given_up_for_this_run_only() -> None:
    """After its time-out the slot is free again, and the job stays in flight in the ledger."""
    world = World(api=MemoryAPI(duration_s=1e6), limits=Limits(concurrency=1, job_timeout_s=60.0))

    outcome = world.run(many(2))

    assert outcome.reasons == ()
    assert world.took_s < 200
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}
    assert len(world.ledger.states()) == 2


def test_a_signal_drains() -> None:
    """Nothing new is sent, the answer on its way is recorded, and the run ends within seconds."""
    world = World(api=MemoryAPI(answer_s=2.0, duration_s=1000), limits=Limits(concurrency=4))

    def interrupt(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(3.0, runner.stop.request, StopReason.SIGINT)

    outcome = world.run(many(50), interrupt)

    assert outcome.reasons == (StopReason.SIGINT,)
    assert world.took_s < 3 + 5
    assert len(world.api.created) == 4
    assert sorted(world.ledger.states().values()) == ["in_queue"] * 4


def test_a_signal_does_not_wait_for_a_hanging_answer() -> None:
    """What is not answered in time is left as it stands, and is a doubt next time."""
    world = World(api=MemoryAPI(answer_s=60.0), limits=Limits(concurrency=2))

    def interrupt(runner: Runner) -> None:
        asyncio.get_running_loop().call_later(1.0, runner.stop.request, StopReason.SIGTERM)

    world.run(many(9), interrupt)

    assert world.took_s < 5.5
    assert set(world.ledger.states().values()) == {"submitting"}


def test_an_intent_that_became_durable_after_the_signal_is_not_sent() -> None:
    """Between intent and POST the run looks once more whether it may."""
    world = World(ledger=MemoryLedger(fsync_s=2.0))

    def interrupt(runner: Runner) -> None:
        asyncio.get_running_loop().call_later(1.0, runner.stop.request, StopReason.SIGINT)

    world.run(many(3), interrupt)

    assert world.api.posts.total() == 0
    assert set(world.ledger.states().values()) == {"pending"}


def test_a_full_disk_stops_before_anything_is_sent() -> None:
    """An intent that cannot be written is a POST that does not leave."""
    world = World()
    world.ledger.fail_on = lambda name, event: LocalIOError("disk full")

    outcome = world.run(many(3))

    assert isinstance(outcome.failure, LocalIOError)
    assert world.api.posts.total() == 0


def test_a_paid_job_that_cannot_be_written_is_named_to_the_person() -> None:
    """The one fact that the disk refused is said aloud, with the command that brings it back."""

    def full_after_post(name: str, event: Event) -> Exception | None:
        return LocalIOError("disk full") if isinstance(event, Accepted) else None

    world = World()
    world.ledger.fail_on = full_after_post

    world.run(many(1))

    assert any("--job j0 --request-id r1" in note for note in world.notes.notes)


def test_downloads_hold_no_slot() -> None:
    """Slow downloads do not slow the generation down."""
    world = World(store=MemoryStore(save_s=500.0), limits=Limits(concurrency=1, downloads=8))

    world.run(many(4))

    assert world.took_s < 4 * 10 * 1.35 + 500 + 5


def test_an_expired_link_is_renewed_once() -> None:
    """Fresh URLs come from the result, not from a new submission."""
    expired = LinkExpired(error=JobError(kind="expired", message="403"))

    def once(name: str, n: int) -> SaveAnswer | None:
        return expired if n == 1 else None

    world = World(store=MemoryStore(on_save=once))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}
    assert (world.api.posts.total(), world.store.tries["j0"]) == (1, 2)


def test_a_download_that_gets_nowhere_is_left_for_the_next_run() -> None:
    """After five fruitless tries the job stays completed: paid for, known, resumable."""
    later = SaveLater(error=JobError(kind="download", message="503"))
    world = World(store=MemoryStore(on_save=lambda name, n: later))

    outcome = world.run(many(1))

    assert outcome.reasons == ()
    assert world.ledger.states() == {"j0": "completed"}
    assert world.store.tries["j0"] == 6, "five tries and the one after the renewal"
    assert world.api.posts.total() == 1


def test_a_download_that_makes_progress_goes_on() -> None:
    """New bytes in a try start the count anew."""

    def slowly(name: str, n: int) -> SaveAnswer | None:
        error = JobError(kind="download", message="reset")
        return SaveLater(error=error, received_bytes=1) if n < 20 else None

    world = World(store=MemoryStore(on_save=slowly))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 25))
def test_money_is_safe_under_any_mixture_of_answers(seed: int, cap: int, count: int) -> None:
    """Whatever the API answers: a POST is repeated only after a proof or a free failure."""
    chance = random.Random(seed)
    allowed: dict[str, int] = {}

    def answers(values: object, n: int) -> SubmitAnswer | None:
        assert isinstance(values, dict)
        prompt = str(values["prompt"])
        assert n <= allowed.setdefault(prompt, 1), "a POST that nothing allowed"
        roll = chance.random()
        error = JobError(kind="x", message="x", http_status=429)
        if roll < 0.2:
            allowed[prompt] += 1
            return TryAgain(error=error)
        if roll < 0.3:
            return Doubt(error=error)
        return RowRefused(error=error) if roll < 0.4 else None

    def results(rid: str) -> PollAnswer | None:
        if chance.random() < 0.2:
            prompt = str(dict(world.api.created)[rid]["prompt"])
            allowed[prompt] += 1
            return Broke(error=OOPS)
        return None

    world = World(limits=Limits(concurrency=cap))
    world.api.on_submit, world.api.on_result = answers, results

    outcome = world.run(many(count))

    assert outcome.reasons == ()
    assert world.api.high_water <= cap
    assert set(world.ledger.states().values()) <= {"downloaded", "in_doubt", "failed"}
    assert len(world.ledger.states()) == count
