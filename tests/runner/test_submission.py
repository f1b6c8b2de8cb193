"""Submissions: one POST for each intent, and what each answer leads to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.api_answers import (
    Broke,
    Doubt,
    PollAnswer,
    RowRefused,
    SubmitAnswer,
    Submitted,
    TryAgain,
)
from batchgen.core.events import Intended, JobError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.runner.stopping import Limits
from tests.kit import MODEL, OTHER_MODEL
from tests.kit.fakes import MemoryAPI, MemoryLedger, job
from tests.runner.world import RunnerWorld, many, now_s

LOST = Doubt(error=JobError(kind="lost_answer", message="bad gateway", http_status=502))


def test_intent_is_recorded_before_each_post_and_the_id_before_anything_else() -> None:
    """The order that no crash can turn into a second payment."""
    order: list[str] = []
    api = MemoryAPI(on_submit=lambda values, n: order.append("POST") or None)  # type: ignore[func-returns-value]
    ledger = MemoryLedger(fsync_s=0.5)
    ledger.fail_on = lambda name, event: order.append(type(event).__name__) or None  # type: ignore[func-returns-value]
    api.on_poll = lambda rid, n: order.append("poll") or None  # type: ignore[func-returns-value]
    world = RunnerWorld(api=api, ledger=ledger)

    world.run(many(1))

    assert order[:4] == ["Intended", "POST", "Accepted", "poll"]


@pytest.mark.parametrize("status", [None, 408, 425, 429, 503])
def test_what_was_proven_not_accepted_is_sent_again(status: int | None) -> None:
    """After a proof the same job is posted again, with an intent of its own each time."""
    error = JobError(kind="not_accepted", message="later", http_status=status)

    def twice(values: object, n: int) -> SubmitAnswer | None:
        return TryAgain(error=error, answered=status is not None) if n <= 2 else None

    world = RunnerWorld(api=MemoryAPI(on_submit=twice))

    world.run(many(1))

    assert world.api.posts.total() == 3
    assert world.ledger.states() == {"j0": "downloaded"}
    assert sum(isinstance(event, Intended) for _, event in world.ledger.events) == 3
    record = world.ledger.get("j0")
    assert record is not None
    assert record.attempts == 1


def test_a_lost_answer_is_doubt_and_is_never_posted_again() -> None:
    """One POST, one record in doubt, and the next run holds it too."""
    lost = Doubt(error=JobError(kind="lost_answer", message="reset"))
    world = RunnerWorld(api=MemoryAPI(on_submit=lambda values, n: lost))
    world.run(many(2))
    again = RunnerWorld(api=world.api, ledger=world.ledger)

    again.run(many(2))

    assert world.ledger.states() == {"j0": "in_doubt", "j1": "in_doubt"}
    assert set(world.api.posts.values()) == {1}


def test_doubts_are_posted_again_if_the_user_says_so() -> None:
    """With resubmission allowed, a doubt gets another attempt, up to the limit."""
    lost = Doubt(error=JobError(kind="lost_answer", message="reset"))
    api = MemoryAPI(on_submit=lambda values, n: lost)
    world = RunnerWorld(api=api, policy=Policy(resubmit_doubts=True, max_attempts=3))

    world.run(many(1))

    assert world.api.posts.total() == 3
    assert world.ledger.states() == {"j0": "in_doubt"}


def test_resubmitted_doubts_are_bounded() -> None:
    """With --in-doubt resubmit and an API that always loses the answer, the breaker ends it."""
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda v, n: LOST), policy=Policy(resubmit_doubts=True),
        limits=Limits(concurrency=8),
    )  # fmt: skip

    outcome = world.run(many(100))

    assert MODEL in outcome.stopped_models
    assert world.api.posts.total() <= 12
    assert max(world.api.posts.values()) <= 3


def test_a_refused_row_fails_alone() -> None:
    """The API's answer about one input says nothing about the others."""
    error = JobError(kind="refused", message="too long", http_status=422)

    def refuse_third(values: object, n: int) -> SubmitAnswer | None:
        assert isinstance(values, dict)
        return RowRefused(error=error) if values["prompt"] == "prompt 2" else None

    world = RunnerWorld(api=MemoryAPI(on_submit=refuse_third))

    outcome = world.run(many(5))

    assert outcome.reasons == ()
    states = world.ledger.states()
    assert states.pop("j2") == "failed"
    assert set(states.values()) == {"downloaded"}


def test_a_404_for_one_row_is_that_row_only() -> None:
    """As long as the catalogue knows the model."""
    gone = RowRefused(error=JobError(kind="refused", message="no file", http_status=404))
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda v, n: gone if v["prompt"] == "prompt 1" else None)
    )

    outcome = world.run(many(4))

    assert outcome.stopped_models == {}
    assert Counter(world.ledger.states().values()) == {"downloaded": 3, "failed": 1}


def test_a_withdrawn_model_fails_no_row() -> None:
    """404 on submit and 404 in the catalogue: the model is gone, the rows are not at fault."""
    gone = RowRefused(error=JobError(kind="refused", message="no model", http_status=404))
    world = RunnerWorld(api=MemoryAPI(on_submit=lambda v, n: gone, on_probe=lambda n: False))

    outcome = world.run(many(5))

    assert MODEL in outcome.stopped_models
    assert world.ledger.states() == {"j0": "pending"}


def test_the_first_job_goes_alone() -> None:
    """A wrong parameter costs one refusal after another, not a cap full of them."""
    refused = RowRefused(error=JobError(kind="refused", message="no", http_status=422))
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda values, n: refused), limits=Limits(concurrency=64)
    )

    world.run(many(40))

    assert world.api.most_posting == 1
    assert set(world.ledger.states().values()) == {"failed"}


def test_an_outage_of_a_minute_costs_a_few_doubts() -> None:
    """Only what was on its way when it began; the rest waits and is submitted afterwards."""
    begin_s, end_s = 50.0, 110.0

    def down() -> bool:
        return begin_s <= now_s() < end_s

    api = MemoryAPI(
        duration_s=10,
        on_submit=lambda values, n: LOST if down() else None,
        on_probe=lambda n: None if down() else True,
    )
    world = RunnerWorld(api=api, limits=Limits(concurrency=16))

    outcome = world.run(many(200))

    assert outcome.reasons == ()
    found = Counter(world.ledger.states().values())
    assert found["in_doubt"] <= 16
    assert found["downloaded"] == 200 - found["in_doubt"]
    assert set(world.api.posts.values()) == {1}


def test_after_an_outage_one_job_goes_alone() -> None:
    """The first POST after the hold has an answer before the second leaves."""
    sent: list[float] = []

    def submit(values: Mapping[str, object], n: int) -> SubmitAnswer | None:
        sent.append(now_s())
        return LOST if len(sent) == 2 else None

    api = MemoryAPI(on_submit=submit, answer_s=1.0, on_probe=lambda n: True if n > 3 else None)
    world = RunnerWorld(api=api, limits=Limits(concurrency=2))

    world.run(many(6))

    after = [at for at in sent if at > sent[1] + 0.5]
    assert after[1] - after[0] >= 0.99


def test_ten_failures_in_a_row_stop_the_model_and_leave_the_others() -> None:
    """The other jobs of the broken model stay pending; the other model runs to its end."""
    broke = Broke(error=JobError(kind="generation", message="boom"), cost_usd=0.01)
    jobs = [job(f"a{n}", f"bad {n}") for n in range(40)]
    jobs += [job(f"b{n}", f"good {n}", model=OTHER_MODEL) for n in range(20)]
    world = RunnerWorld(limits=Limits(concurrency=2))
    bad = {"bad"}

    def result(rid: str) -> PollAnswer | None:
        prompt = str(dict(world.api.created)[rid]["prompt"])
        return broke if prompt.split(maxsplit=1)[0] in bad else None

    world.api.on_result = result

    outcome = world.run(jobs)

    assert MODEL in outcome.stopped_models
    found = world.ledger.states()
    assert Counter(state for name, state in found.items() if name.startswith("b")) == {
        "downloaded": 20
    }
    assert 10 <= sum(name.startswith("a") for name in found) <= 12


def test_jobs_of_a_stopped_model_are_not_waited_for() -> None:
    """The run ends; it does not wait for what it will not submit."""
    world = RunnerWorld(api=MemoryAPI(on_submit=lambda v, n: LOST))

    outcome = world.run(many(50))

    assert MODEL in outcome.stopped_models
    found = Counter(world.ledger.states().values())
    assert found["in_doubt"] == 10
    assert JobState.SUBMITTING not in world.ledger.states().values()


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
            return Broke(error=JobError(kind="generation", message="boom"))
        return None

    world = RunnerWorld(limits=Limits(concurrency=cap))
    world.api.on_submit, world.api.on_result = answers, results

    outcome = world.run(many(count))

    assert outcome.reasons == ()
    assert world.api.high_water <= cap
    assert set(world.ledger.states().values()) <= {"downloaded", "in_doubt", "failed"}
    assert len(world.ledger.states()) == count


@pytest.mark.parametrize("cap", [1, 8])
@pytest.mark.parametrize("ids", [1, 2, 5])
def test_one_request_is_the_answer_to_one_submission(ids: int, cap: int) -> None:
    """An API that answers several POSTs with the same request_id leaves all but one in doubt."""
    world = RunnerWorld(limits=Limits(concurrency=cap))
    posted = 0

    def repeat(values: object, n: int) -> SubmitAnswer | None:
        nonlocal posted
        posted += 1
        return Submitted(request_id=f"same{posted % ids}")

    world.api.on_submit = repeat

    world.run(many(9))

    found = Counter(world.ledger.states().values())
    assert found == {"downloaded": ids, "in_doubt": 9 - ids}
    assert posted == 9
    requests = [r.request_id for r in world.ledger.known.values() if r.request_id]
    assert len(requests) == len(set(requests)) == ids
    doubts = [r for r in world.ledger.known.values() if r.state is JobState.IN_DOUBT]
    assert all(r.error and "same" in r.error.message for r in doubts)


@pytest.mark.parametrize("state", [s for s in JobState if s is not JobState.UNKNOWN])
def test_a_request_of_an_earlier_run_is_no_answer_to_a_new_submission(state: JobState) -> None:
    """Whatever became of the job that has it, and whether it still has a row."""
    world = RunnerWorld(api=MemoryAPI(on_submit=lambda v, n: Submitted(request_id="old")))
    world.ledger.known["before"] = JobRecord(ts="", job="before", state=state, request_id="old")

    world.run(many(1))

    assert world.ledger.states()["j0"] == "in_doubt"


def test_a_request_of_an_earlier_attempt_is_no_answer_to_a_later_one() -> None:
    """The same job is generated again: the request that failed cannot be the new one."""
    broke = Broke(error=JobError(kind="generation", message="boom"))
    api = MemoryAPI(
        on_submit=lambda v, n: Submitted(request_id="same"), on_result=lambda rid: broke
    )
    world = RunnerWorld(api=api)

    world.run(many(1))

    assert world.ledger.states() == {"j0": "in_doubt"}
    assert api.posts.total() == 2
