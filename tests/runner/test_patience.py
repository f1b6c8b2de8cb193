"""Patience: short faults cost seconds, time-outs are kept, and a young request is not gone."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from batchgen.core.api_answers import (
    Broke,
    Ended,
    Gone,
    PollAnswer,
    Running,
    SubmitAnswer,
    Submitted,
    TryAgain,
)
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.units import timestamp
from batchgen.ports import LinkExpired, SaveAnswer, SaveLater
from batchgen.runner.runner import Outcome
from batchgen.runner.stopping import Limits
from tests.benchmarks.bench_stall import mixtures, run_s
from tests.kit.cases import few
from tests.kit.fakes import MemoryAPI, MemoryStore, job
from tests.kit.flaky import BAD_GATEWAY, Chances
from tests.kit.time import LoopClock, leap
from tests.runner.world import RunnerWorld, many, now_s

GONE = Gone(
    error=JobError(
        kind=ErrorKind.EXPIRED, message="no such request", http_status=404, error_code=404001
    )
)
BAD = TryAgain(error=BAD_GATEWAY)


# Faults that come and go.


@pytest.mark.parametrize("chances", few(mixtures(0.3), 3), ids=str)
def test_calls_that_fail_now_and_then_cost_seconds(chances: Chances) -> None:
    """With 30 % of them failing, no unlucky run of ten short jobs takes thrice the median.

    If polls and downloads both fail, a job may be unlucky twice.
    """
    took_s = [run_s(chances, seed) for seed in range(100)]

    is_twice = chances.file and (chances.status or chances.result)
    assert max(took_s) < (3.5 if is_twice else 3) * statistics.median(took_s)


@dataclass
class ResultDown(MemoryAPI):
    """`result` fails for a job that has ended until `up_at_s`; `status` is answered."""

    up_at_s: float = 0.0
    asked_s: list[float] = field(default_factory=list)

    async def result(self, request_id: str) -> PollAnswer:
        answer = await super().result(request_id)
        if self._unfinished(request_id) is not None:
            return answer
        self.asked_s.append(now_s())
        return BAD if now_s() < self.up_at_s else answer


@pytest.mark.parametrize("down_s", [1.0, 7.0, 31.0, 100.0, 600.0])
@pytest.mark.parametrize("count", [1, 3])
def test_a_job_that_has_ended_is_soon_asked_again_while_the_api_answers(
    down_s: float, count: int
) -> None:
    """However often its result has failed: every second or two, alone or among others."""
    api = ResultDown(duration_s=2.0, up_at_s=2.0 + down_s)
    world = RunnerWorld(api=api)

    world.run(many(count))

    assert set(world.ledger.states().values()) == {"downloaded"}
    assert world.took_s < max(5.0, 2.0 + down_s + 2.0)


def test_an_outage_of_everything_is_waited_for_with_growing_pauses() -> None:
    """If no call is answered, the pauses go up to half a minute, for jobs that have ended too."""
    asked: list[float] = []

    class Down(MemoryAPI):
        async def status(self, request_id: str) -> PollAnswer:
            asked.append(now_s())
            return BAD if 1.0 < now_s() < 601.0 else await super().status(request_id)

        async def result(self, request_id: str) -> PollAnswer:
            asked.append(now_s())
            return BAD if now_s() < 601.0 else await super().result(request_id)

    world = RunnerWorld(api=Down(duration_s=0.5))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}
    assert len(asked) < 150
    assert world.took_s < 601 + 35


@pytest.mark.parametrize("word", ["ended", "running"])
def test_a_status_that_took_back_what_it_said_is_believed(word: str) -> None:
    """After `completed`, a result that says `running` sends the poller back to the status."""
    said: list[str] = []

    class Changing(MemoryAPI):
        async def status(self, request_id: str) -> PollAnswer:
            said.append("status")
            answer = await super().status(request_id)
            return Ended() if len(said) == 1 else answer

        async def result(self, request_id: str) -> PollAnswer:
            said.append("result")
            answer = await super().result(request_id)
            return Running() if said.count("result") == 1 and word == "running" else answer

    world = RunnerWorld(api=Changing(duration_s=5.0))

    world.run(many(1))

    assert said[:3] == ["status", "result", "status"]
    assert world.ledger.states() == {"j0": "downloaded"}


@pytest.mark.parametrize("unlucky", range(4))
def test_a_link_is_renewed_although_the_result_fails_first(unlucky: int) -> None:
    """A renewal that got no answer was none: the next try asks for it again."""
    calls = 0

    class Flaky(MemoryAPI):
        async def result(self, request_id: str) -> PollAnswer:
            nonlocal calls
            answer = await super().result(request_id)
            if self._unfinished(request_id) is not None or not self.polls_over:
                return answer
            calls += 1
            return BAD if calls <= unlucky else answer

        polls_over = False

    class Expiring(MemoryStore):
        async def save(self, job: str, urls: tuple[str, ...], known: object = ()) -> SaveAnswer:
            self.tries[job] += 1
            api.polls_over = True
            if calls <= unlucky:
                return LinkExpired(error=JobError(kind="x", message="403", http_status=403))
            self.tries[job] -= 1
            return await super().save(job, urls)

    api = Flaky(duration_s=1.0)
    world = RunnerWorld(api=api, store=Expiring())

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}
    assert calls == unlucky + 1


# A request that the API does not know yet.


@dataclass
class Lagging(MemoryAPI):
    """Does not know a request until `known_after_s` after it was accepted."""

    known_after_s: float = 0.0
    status_knows: bool = False
    begun_s: dict[str, float] = field(default_factory=dict)

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        answer = await super().submit(model, values)
        if isinstance(answer, Submitted):
            self.begun_s[answer.request_id] = now_s()
        return answer

    async def status(self, request_id: str) -> PollAnswer:
        answer = await super().status(request_id)
        return answer if self.status_knows else self._lagging(request_id) or answer

    async def result(self, request_id: str) -> PollAnswer:
        answer = await super().result(request_id)
        return self._lagging(request_id) or answer

    def _lagging(self, request_id: str) -> PollAnswer | None:
        return GONE if now_s() < self.begun_s.get(request_id, 0.0) + self.known_after_s else None


@pytest.mark.parametrize("status_knows", [False, True], ids=["neither", "only status"])
@pytest.mark.parametrize("duration_s", [0.2, 3.0, 30.0])
@pytest.mark.parametrize("known_after_s", [0.1, 1.0, 4.0, 9.0])
def test_a_request_that_is_not_known_at_once_is_not_lost(
    known_after_s: float, duration_s: float, *, status_knows: bool
) -> None:
    """404001 in the first ten seconds after the acceptance means patience."""
    api = Lagging(duration_s=duration_s, known_after_s=known_after_s, status_knows=status_knows)
    world = RunnerWorld(api=api)

    outcome = world.run(many(17))

    assert (set(world.ledger.states().values()), outcome.stopped_models) == ({"downloaded"}, {})


def test_a_request_that_stays_unknown_is_expired_after_ten_seconds() -> None:
    """Not before, and soon after; it is not submitted again."""
    world = RunnerWorld(api=Lagging(known_after_s=1e6))

    world.run(many(3))

    assert set(world.ledger.states().values()) == {"failed"}
    assert world.api.posts.total() == 3
    assert 10.0 <= world.took_s < 13.0
    assert all(r.error and r.error.kind == "expired" for r in world.ledger.known.values())


def test_a_request_that_was_seen_and_is_gone_is_expired_at_once() -> None:
    """Patience is for requests that no poll has seen yet."""
    world = RunnerWorld(
        api=MemoryAPI(on_poll=lambda rid, n: GONE if n > 1 else None, duration_s=100.0)
    )

    world.run(many(1))

    assert world.ledger.states() == {"j0": "failed"}
    assert world.took_s < 5.0


@pytest.mark.parametrize(
    ("late_s", "ended"), [(0.5, "downloaded"), (9.0, "downloaded"), (1e6, "failed")]
)
def test_a_result_that_comes_after_the_status_is_waited_for(late_s: float, ended: str) -> None:
    """While `status` knows that a job has ended, its result has ten seconds to appear."""

    class Late(MemoryAPI):
        async def result(self, request_id: str) -> PollAnswer:
            answer = await super().result(request_id)
            is_late = self._unfinished(request_id) is None and now_s() < 30.0 + late_s
            return GONE if is_late else answer

    world = RunnerWorld(api=Late(duration_s=30.0))

    world.run(many(1))

    assert world.ledger.states() == {"j0": ended}
    assert world.took_s < 30.0 + min(late_s, 13.0) + 10.0


@pytest.mark.parametrize("has_expired", [False, True], ids=["host down", "link expired"])
def test_a_completed_job_is_expired_only_if_its_link_is(has_expired: bool) -> None:
    """A host that is down for a moment and a request that is forgotten lose no output."""

    class Forgetful(MemoryAPI):
        async def result(self, request_id: str) -> PollAnswer:
            return GONE if store.tries else await super().result(request_id)

    error = JobError(kind="x", message="x", http_status=403)
    answer: SaveAnswer = LinkExpired(error=error) if has_expired else SaveLater(error=BAD_GATEWAY)
    store = MemoryStore(on_save=lambda job, n: answer if n <= 2 else None)
    world = RunnerWorld(api=Forgetful(duration_s=1.0), store=store)

    world.run(many(1))

    assert world.ledger.states() == {"j0": "failed" if has_expired else "downloaded"}


@pytest.mark.parametrize(
    ("state", "age_s", "waits_s"),
    [
        (JobState.IN_QUEUE, 2.0, 8.0),
        (JobState.IN_QUEUE, 9.9, 0.1),
        (JobState.IN_QUEUE, 3600.0, 0.0),
        (JobState.IN_QUEUE, -3600.0, 10.0),
        (JobState.IN_PROGRESS, 2.0, 0.0),
    ],
)
def test_the_patience_of_a_resumed_request_counts_from_its_acceptance(
    state: JobState, age_s: float, waits_s: float
) -> None:
    """By the time of its record; one that an earlier run saw running needs none."""

    async def story() -> tuple[float, str]:
        world = RunnerWorld(api=Lagging(known_after_s=1e6))
        at_s = LoopClock().now_s() - age_s
        world.ledger.known["j0"] = JobRecord(
            ts=timestamp(at_s), job="j0", state=state, request_id="old", fingerprint="f",
            submitted_at=timestamp(at_s - 60.0),
        )  # fmt: skip
        await world.run_in_loop([])
        return world.took_s, world.ledger.states()["j0"]

    took_s, ended = leap(story())

    assert ended == "failed"
    assert waits_s <= took_s < waits_s + 1.5


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_the_reason_of_a_stopped_model_is_in_plain_words(kind: ErrorKind) -> None:
    """The kind of its failures as the ledger writes it, not as Python shows it."""
    broke = Broke(error=JobError(kind=kind, message="boom"), cost_usd=0.01)
    world = RunnerWorld(api=MemoryAPI(on_result=lambda rid: broke), limits=Limits(concurrency=1))

    outcome = world.run(many(12))

    (why,) = outcome.stopped_models.values()
    assert f"kind '{kind.value}'" in why
    assert "ErrorKind" not in why


# Time-outs of jobs.


TIMEOUTS_S = (0.5, 1.0, 3.0, 29.0, 30.0, 31.0, 60.0, 900.0, 7200.0)


@pytest.mark.parametrize("timeout_s", TIMEOUTS_S)
def test_a_new_job_is_waited_for_as_long_as_its_time_out(timeout_s: float) -> None:
    """Counted from its submission; then its slot is free, and it stays in flight."""
    world = RunnerWorld(api=MemoryAPI(duration_s=1e6), limits=Limits(job_timeout_s=timeout_s))

    world.run(many(2))

    # The canary first, the second job once it was accepted.
    assert timeout_s <= world.took_s < timeout_s + 0.1
    assert set(world.ledger.states().values()) <= {"in_queue", "in_progress"}


@pytest.mark.parametrize("age_s", [0.0, 2.0, 25.0, 1000.0, 1e6])
@pytest.mark.parametrize("timeout_s", TIMEOUTS_S)
def test_a_resumed_job_is_waited_for_until_its_time_out_or_a_little(
    timeout_s: float, age_s: float
) -> None:
    """What is left of its time-out, at least half a minute, and never more than the time-out."""

    async def story() -> float:
        world = RunnerWorld(api=MemoryAPI(duration_s=1e7), limits=Limits(job_timeout_s=timeout_s))
        world.api.resume("old", ends_in_s=1e6)
        sent = timestamp(LoopClock().now_s() - age_s)
        world.ledger.known["j0"] = JobRecord(
            ts=sent, job="j0", state=JobState.IN_QUEUE, request_id="old", submitted_at=sent
        )
        await world.run_in_loop([])
        return world.took_s

    expected_s = max(timeout_s - age_s, min(timeout_s, 30.0))
    assert expected_s - 0.01 <= leap(story()) < expected_s + 0.1


@pytest.mark.parametrize("timeout_s", TIMEOUTS_S)
def test_a_job_that_is_generated_again_has_its_whole_time_out(timeout_s: float) -> None:
    """From its own submission, whatever the attempt before it took."""
    broke = Broke(error=JobError(kind="generation", message="boom"))
    first_s = timeout_s / 2

    class Second(MemoryAPI):
        async def result(self, request_id: str) -> PollAnswer:
            self.duration_s = 1e6  # of what is submitted from now on
            return await super().result(request_id)

    api = Second(duration_s=first_s, on_result=lambda rid: broke if rid == "r1" else None)
    world = RunnerWorld(api=api, limits=Limits(job_timeout_s=timeout_s))

    world.run(many(1))

    assert world.api.posts.total() == 2
    second_s = world.took_s - first_s
    assert timeout_s <= second_s < timeout_s * 1.3 + 0.3
    assert world.ledger.states()["j0"] in {"in_queue", "in_progress"}


def test_a_wall_clock_that_is_set_costs_a_new_job_no_patience() -> None:
    """The time since its submission is measured on the other clock."""
    world = RunnerWorld(api=MemoryAPI(duration_s=20.0, answer_s=1.0))

    def during(runner: object) -> None:
        asyncio.get_running_loop().call_later(0.5, setattr, LoopClock, "skew_s", 7200.0)

    async def story() -> Outcome:
        try:
            return await world.run_in_loop(many(1), during)
        finally:
            LoopClock.skew_s = 0.0

    leap(story())

    assert world.ledger.states() == {"j0": "downloaded"}


@pytest.mark.slow
def test_random_time_outs_are_kept() -> None:
    """Many values, drawn evenly over the decades from a tenth of a second to a day."""
    dice = random.Random(5)
    for _ in range(40):
        timeout_s = 10 ** dice.uniform(-1, 4.9)
        world = RunnerWorld(api=MemoryAPI(duration_s=1e7), limits=Limits(job_timeout_s=timeout_s))
        world.run([job("j0")])
        assert timeout_s - 1e-6 <= world.took_s < timeout_s + 0.1
