"""The port `GenerationAPI`: the fake of the tests answers as the real client and server do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from batchgen.api.client import ModelAPI
from batchgen.core.api_answers import (
    Broke,
    CancelOutcome,
    Ended,
    Gone,
    PollAnswer,
    Produced,
    Queued,
    RowRefused,
    Running,
    Submitted,
    TryAgain,
    WasCancelled,
)
from batchgen.core.api_base import parse_base_url
from batchgen.core.events import JobError
from batchgen.core.secret import Secret
from batchgen.ports import GenerationAPI
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.fakes import MemoryAPI

LONG_S = 1000.0

DOOMED = "doomed"
"""A prompt whose job fails."""


@dataclass
class Subject:
    """An API, the time of its jobs, and its end."""

    api: GenerationAPI
    pass_time: Callable[[float], None]
    """Let this share of a job's time pass."""
    go_away: Callable[[], Awaitable[None]]

    async def submit(self, prompt: str = "a fox") -> str:
        answer = await self.api.submit(MODEL, {"prompt": prompt})
        assert isinstance(answer, Submitted)
        return answer.request_id


class HandClock:
    """Seconds since 1970 that the test moves."""

    now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def move(self, by_s: float) -> None:
        self.now_s += by_s


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield fake_subject()
        return
    clock = HandClock()
    config = SandboxConfig(
        capacity=1, duration_min_s=LONG_S, duration_max_s=LONG_S,
        faults=(f"submit:failed:match={DOOMED}",),
    )  # fmt: skip
    async with Sandbox(config, clock=clock) as sandbox:
        base = parse_base_url(sandbox.base_url)
        async with ModelAPI(base, Secret(sandbox.token), clock=SystemClock()) as api:
            yield Subject(api, lambda share: clock.move(share * LONG_S), sandbox.stop)


def fake_subject() -> Subject:
    fake = MemoryAPI(duration_s=LONG_S, answer_s=0.0)

    def result(request_id: str) -> PollAnswer | None:
        doomed = dict(fake.created)[request_id]["prompt"] == DOOMED
        return Broke(error=JobError(kind="generation", message="boom")) if doomed else None

    def pass_time(share: float) -> None:
        for request_id in fake._end_s:
            fake._end_s[request_id] -= share * LONG_S

    async def go_away() -> None:
        fake.is_reachable = False

    fake.on_result = result
    return Subject(fake, pass_time, go_away)


async def queued(subject: Subject) -> str:
    """Submit a job that waits behind another one."""
    await subject.submit("first")
    return await subject.submit("second")


async def test_equal_inputs_are_jobs_of_their_own(subject: Subject) -> None:
    """The API has no idempotency key: every POST that is accepted is paid for."""
    assert await subject.submit("a fox") != await subject.submit("a fox")


async def test_a_job_that_waits_is_queued_by_status_and_result(subject: Subject) -> None:
    """`result` answers in every state, and reports no end before there is one."""
    request_id = await queued(subject)

    assert isinstance(await subject.api.status(request_id), Queued)
    assert isinstance(await subject.api.result(request_id), (Queued, Running))


async def test_a_job_that_runs_is_running_by_status_and_result(subject: Subject) -> None:
    """With a status that this program knows."""
    request_id = await subject.submit()
    subject.pass_time(0.6)

    assert await subject.api.status(request_id) == Running()
    assert await subject.api.result(request_id) == Running()


async def test_a_job_that_succeeded_has_ended_and_its_result_has_urls(subject: Subject) -> None:
    """`status` tells only that it has ended; outputs and cost come with the result."""
    request_id = await subject.submit()
    subject.pass_time(1.1)

    assert await subject.api.status(request_id) == Ended()
    result = await subject.api.result(request_id)
    assert isinstance(result, Produced)
    assert result.outputs
    assert all(url.startswith("http") for url in result.outputs)
    assert result.cost_usd == pytest.approx(0.03)
    assert await subject.api.result(request_id) == result


async def test_a_job_that_failed_has_ended_and_its_result_says_so(subject: Subject) -> None:
    """A failure of the generation has no outputs."""
    request_id = await subject.submit(DOOMED)
    subject.pass_time(1.1)

    assert await subject.api.status(request_id) == Ended()
    result = await subject.api.result(request_id)
    assert isinstance(result, Broke)
    assert result.error.kind == "generation"


async def test_an_unknown_request_is_gone(subject: Subject) -> None:
    """By status and by result."""
    assert isinstance(await subject.api.status("unknown"), Gone)
    assert isinstance(await subject.api.result("unknown"), Gone)


async def test_a_queued_job_can_be_cancelled_and_a_result_confirms_it(subject: Subject) -> None:
    """Twice is once."""
    request_id = await queued(subject)

    assert await subject.api.cancel(request_id) is CancelOutcome.CANCELLED
    assert await subject.api.result(request_id) == WasCancelled()
    assert await subject.api.cancel(request_id) is not CancelOutcome.UNKNOWN
    assert await subject.api.result(request_id) == WasCancelled()


async def test_a_running_or_ended_job_cannot_be_cancelled(subject: Subject) -> None:
    """It comes to its end, and is paid for."""
    request_id = await subject.submit()
    subject.pass_time(0.6)
    assert await subject.api.cancel(request_id) is CancelOutcome.NOT_CANCELLABLE
    subject.pass_time(0.6)
    assert await subject.api.cancel(request_id) is CancelOutcome.NOT_CANCELLABLE

    assert isinstance(await subject.api.result(request_id), Produced)


async def test_the_catalogue_tells_which_models_exist(subject: Subject) -> None:
    """Without a job: it costs nothing."""
    assert await subject.api.has_model(MODEL) is True
    assert await subject.api.has_model("unknown/model") is False


async def test_a_model_that_does_not_exist_refuses_the_row(subject: Subject) -> None:
    """With 404, so that the catalogue can be asked whether the model was withdrawn."""
    answer = await subject.api.submit("unknown/model", {"prompt": "a fox"})

    assert isinstance(answer, RowRefused)
    assert answer.error.http_status == 404


async def test_an_api_that_is_not_there_is_an_answer_and_no_error(subject: Subject) -> None:
    """Nothing is raised; a POST that found no server is proven not to be accepted."""
    await subject.go_away()

    submitted = await subject.api.submit(MODEL, {"prompt": "later"})
    assert isinstance(submitted, TryAgain)
    assert not submitted.answered
    for answer in (await subject.api.status("r1"), await subject.api.result("r1")):
        assert isinstance(answer, TryAgain)
        assert not answer.answered
    assert await subject.api.cancel("r1") is CancelOutcome.UNKNOWN
    assert await subject.api.has_model(MODEL) is None
