"""Defects of this program while one job is handled: the others continue, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from batchgen.core.api_answers import PollAnswer, SubmitAnswer
from batchgen.core.budget import Budget
from batchgen.core.events import AnswerLost, Event, Intended, JobError
from batchgen.core.exit_codes import exit_code
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Disposition, Plan
from batchgen.core.stop_reasons import StopReason
from batchgen.ports import SaveAnswer
from batchgen.runner.spending import Spending
from batchgen.runner.stopping import Limits
from tests.kit.fakes import MemoryAPI, MemoryLedger, MemoryStore, Notes
from tests.runner.world import RunnerWorld, many

BAD = "j3"
PROMPT = "prompt 3"
ERRORS = [ValueError("odd"), KeyError("k"), AssertionError(), RecursionError(), OverflowError("x")]


def strikes(world: RunnerWorld, error: Exception) -> None:
    """Make every call about one job raise."""

    def number(request_id: str) -> bool:
        return str(dict(world.api.created)[request_id]["prompt"]) == PROMPT

    def result(request_id: str) -> PollAnswer | None:
        if number(request_id):
            raise error
        return None

    world.api.on_result = result


def in_submission(world: RunnerWorld, error: Exception) -> None:
    def submit(values: object, n: int) -> SubmitAnswer | None:
        assert isinstance(values, dict)
        if values["prompt"] == PROMPT:
            raise error
        return None

    world.api.on_submit = submit


def in_download(world: RunnerWorld, error: Exception) -> None:
    def save(job: str, n: int) -> SaveAnswer | None:
        if job == BAD:
            raise error
        return None

    world.store.on_save = save


def at_event(name: str) -> Callable[[RunnerWorld, Exception], None]:
    def strike(world: RunnerWorld, error: Exception) -> None:
        world.ledger.fail_on = lambda job, event: (
            error if job == BAD and type(event).__name__ == name else None
        )

    return strike


def in_observer(name: str) -> Callable[[RunnerWorld, Exception], None]:
    def strike(world: RunnerWorld, error: Exception) -> None:
        class Raising(Notes):
            def on_event(self, job: str, event: Event, record: JobRecord) -> None:
                if job == BAD and type(event).__name__ == name:
                    raise error
                super().on_event(job, event, record)

        world.notes = Raising()

    return strike


def in_price(world: RunnerWorld, error: Exception) -> None:
    def price_of(job: Job) -> float | None:
        if job.id == BAD:
            raise error
        return 0.03

    world.spending = Spending(
        budgets=(Budget(name="this batch", limit_usd=100.0),), price_of=price_of
    )


def in_plan(world: RunnerWorld, error: Exception) -> None:
    class Ledger(MemoryLedger):
        def get(self, job: str) -> JobRecord | None:
            if job == BAD:
                raise error
            return super().get(job)

    world.ledger = Ledger()


STRIKES: dict[str, tuple[Callable[[RunnerWorld, Exception], None], str | None]] = {
    "poll": (strikes, "in_progress"),
    "submission": (in_submission, "in_doubt"),
    "download": (in_download, "completed"),
    "record of the intent": (at_event("Intended"), None),
    "record of the acceptance": (at_event("Accepted"), "in_doubt"),
    "record of the start": (at_event("Started"), "in_queue"),
    "record of the success": (at_event("Succeeded"), "in_progress"),
    "record of the files": (at_event("Saved"), "completed"),
    "record of a doubt": (
        lambda world, error: (in_submission(world, error), at_event("AnswerLost")(world, error))[1],
        "submitting",
    ),
    "observer of the intent": (in_observer("Intended"), "in_doubt"),
    "observer of the acceptance": (in_observer("Accepted"), "in_queue"),
    "observer of the success": (in_observer("Succeeded"), "completed"),
    "observer of the files": (in_observer("Saved"), "downloaded"),
    "price": (in_price, None),
    "plan": (in_plan, None),
}
"""Where a defect strikes -> the state that the ledger has then."""


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("cap", [1, 8])
@pytest.mark.parametrize("where", STRIKES)
def test_a_defect_in_one_job_leaves_the_others_alone(
    where: str, cap: int, error: Exception
) -> None:
    """It is noted once with the job's id, the job stays as the ledger has it, the others end."""
    strike, state = STRIKES[where]
    world = RunnerWorld(limits=Limits(concurrency=cap))
    strike(world, error)

    outcome = world.run(many(12))

    states = world.ledger.states()
    assert states.pop(BAD, None) == state
    assert Counter(states.values()) == {"downloaded": 11}
    assert (outcome.reasons, outcome.left_alone) == ((), {BAD})
    notes = [note for note in world.notes.notes if "defect" in note]
    assert len(notes) == 1
    assert repr(BAD) in notes[0]
    assert type(error).__name__ in notes[0]
    assert world.api.posts[PROMPT] <= 1


@pytest.mark.parametrize("where", ["poll", "submission", "download", "price"])
def test_a_defect_in_every_job_ends_the_run_and_loses_nothing(where: str) -> None:
    """No slot is lost or given away twice: the run comes to its end by itself."""
    world = RunnerWorld(limits=Limits(concurrency=3))

    def raises(*_: object) -> None:
        raise ValueError("odd")

    match where:
        case "poll":
            world.api.on_result = raises
        case "submission":
            world.api.on_submit = raises
        case "download":
            world.store.on_save = raises
        case "price":
            world.spending = Spending(
                budgets=(Budget(name="this batch", limit_usd=1.0),), price_of=raises
            )

    outcome = world.run(many(40))

    assert world.api.high_water <= 3
    assert max(world.api.posts.values(), default=0) <= 1
    if where == "submission":
        assert Counter(world.ledger.states().values()) == {"in_doubt": 10}
        assert outcome.stopped_models
    else:
        assert len(outcome.left_alone) == 40


def test_a_defect_in_a_submission_holds_the_others_like_a_lost_answer() -> None:
    """The free call comes first, then one job alone; and the doubt says what happened."""
    world = RunnerWorld()
    in_submission(world, ValueError("odd"))

    world.run(many(12))

    assert world.api.probes == 1
    (doubt,) = [event for _, event in world.ledger.events if isinstance(event, AnswerLost)]
    assert doubt.error.kind == "crash"
    assert "ValueError" in doubt.error.message


def test_the_reservation_of_a_job_that_may_have_been_accepted_is_kept() -> None:
    """In doubt or in flight after a defect: what it may cost stays reserved."""
    for strike in (in_submission, in_observer("Accepted")):
        budget = Budget(name="this batch", limit_usd=0.12)
        world = RunnerWorld(
            spending=Spending(budgets=(budget,), price_of=lambda _: 0.03),
            limits=Limits(concurrency=1),
        )
        strike(world, ValueError("odd"))
        world.run(many(6))
        assert sum(isinstance(event, Intended) for _, event in world.ledger.events) == 4


def test_a_defect_of_the_free_call_does_not_hold_the_run_for_ever() -> None:
    """It counts as no answer, is noted once, and the call is made again."""

    class Broken(MemoryAPI):
        async def has_model(self, model: str) -> bool | None:
            if self.probes < 5:
                self.probes += 1
                raise ValueError("odd")
            return await super().has_model(model)

    from batchgen.core.api_answers import Doubt

    lost = Doubt(error=JobError(kind="lost_answer", message="502"))
    api = Broken(on_submit=lambda v, n: lost if v["prompt"] == "prompt 1" else None)
    world = RunnerWorld(api=api)

    world.run(many(6))

    assert Counter(world.ledger.states().values()) == {"in_doubt": 1, "downloaded": 5}
    assert sum("defect" in note for note in world.notes.notes) == 1


@pytest.mark.parametrize("state", [JobState.IN_QUEUE, JobState.COMPLETED])
def test_what_an_earlier_run_left_is_contained_too(state: JobState) -> None:
    """A record that this program cannot handle is left, and the rest of the batch is made."""
    world = RunnerWorld(store=MemoryStore())
    world.ledger.known[BAD] = JobRecord(
        ts="", job=BAD, state=state, request_id="old", outputs=("https://files.runcomfy.net/a",)
    )

    class Raising(MemoryAPI):
        async def status(self, request_id: str) -> PollAnswer:
            if request_id == "old":
                raise ValueError("odd")
            return await super().status(request_id)

    world.api = Raising()
    in_download(world, ValueError("odd"))

    outcome = world.run([])

    assert (world.ledger.states(), outcome.left_alone) == ({BAD: state.value}, {BAD})


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Disposition.COLLECT, 75), (Disposition.DOWNLOAD, 75), (Disposition.SUBMIT_NEW, 75),
        (Disposition.DEFECT, 75), (Disposition.HELD, 1), (Disposition.FAILED, 1),
        (Disposition.DONE, 70),
    ],
)  # fmt: skip
def test_the_exit_code_after_a_defect_says_what_is_left(kind: Disposition, code: int) -> None:
    """75 if something is left, and 70 only if nothing else is to be said."""
    plan = Plan()
    plan.add(Disposition.DONE)
    plan.add(kind)

    assert exit_code([StopReason.DEFECT], plan) == code
