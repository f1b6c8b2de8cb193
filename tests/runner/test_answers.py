"""The answers to submissions, from the reply on the wire to what becomes of the job and the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from batchgen.core.admission import BREAKER_LIMIT
from batchgen.core.api_answers import (
    Broke,
    Lost,
    NoReply,
    PollAnswer,
    Reply,
    SubmitAnswer,
    TryAgain,
)
from batchgen.core.api_decoding import read_presence, read_submit
from batchgen.core.events import Event, Intended, JobError
from batchgen.core.lifecycle import JobRecord
from batchgen.core.stop_reasons import StopReason
from batchgen.runner.stopping import Limits
from tests.kit import MODEL, OTHER_MODEL
from tests.kit.fakes import MemoryAPI, MemoryLedger, job
from tests.kit.time import LoopClock
from tests.runner.world import RunnerWorld, interrupt_after, many, now_s


def reply(status: int, code: int | None = None, retry_after_s: float | None = None) -> Reply:
    payload = {} if code is None else {"error_code": code, "error_message": "boom"}
    return Reply(http_status=status, payload=payload, retry_after_s=retry_after_s)


AGAIN = [
    NoReply(lost=Lost.NOT_SENT, message="refused"), reply(408), reply(425), reply(429),
    reply(503, retry_after_s=0.0), reply(503, retry_after_s=5.0), reply(200, 429001),
    reply(500, 408000), reply(503, 503001, retry_after_s=1.0),
]  # fmt: skip
DOUBTS = [
    NoReply(lost=Lost.UNKNOWN, message="reset"), reply(500), reply(502), reply(503), reply(504),
    reply(200), reply(302), reply(200, 500001), reply(429, 500001), reply(422, 503001),
    reply(500, 502001), reply(503, 500001, retry_after_s=1.0),
]  # fmt: skip
REFUSALS = [
    reply(400), reply(404), reply(413), reply(422), reply(403), reply(200, 422001),
    reply(500, 400999), reply(429, 404777), reply(200, 413001), reply(200, 403777),
]  # fmt: skip
TOKENS = [
    reply(401),
    reply(400, 400004),
    reply(500, 400004),
    reply(403, 403001),
    reply(200, 403001),
]
BALANCES = [reply(402), reply(400, 400002), reply(200, 400002), reply(429, 402999)]


def answered(one: Reply | NoReply) -> RunnerWorld:
    """A run of three jobs one after the other, of which the second has this answer once."""
    world = RunnerWorld(limits=Limits(concurrency=1))
    world.api.on_submit = lambda values, n: (
        read_submit(one) if values["prompt"] == "prompt 1" and n == 1 else None
    )
    return world


@pytest.mark.parametrize("one", AGAIN, ids=str)
def test_what_was_certainly_not_accepted_is_posted_again(one: Reply | NoReply) -> None:
    """It is no attempt, and nothing else notices."""
    world = answered(one)

    outcome = world.run(many(3))

    assert (outcome.reasons, world.api.posts["prompt 1"]) == ((), 2)
    assert set(world.ledger.states().values()) == {"downloaded"}
    assert {record.attempts for record in world.ledger.known.values()} == {1}


@pytest.mark.parametrize("one", DOUBTS, ids=str)
def test_any_other_lost_answer_is_a_doubt(one: Reply | NoReply) -> None:
    """Held for the user, posted once; the others continue after a free call."""
    world = answered(one)

    outcome = world.run(many(3))

    assert (outcome.reasons, world.api.posts["prompt 1"]) == ((), 1)
    assert world.ledger.states() == {"j0": "downloaded", "j1": "in_doubt", "j2": "downloaded"}
    assert world.api.probes == 1


@pytest.mark.parametrize("one", REFUSALS, ids=str)
def test_a_refusal_fails_that_row_only(one: Reply) -> None:
    """It is not tried again, in this run or the next."""
    world = answered(one)

    world.run(many(3))
    outcome = world.run(many(3))

    assert (outcome.reasons, world.api.posts["prompt 1"]) == ((), 1)
    assert world.ledger.states() == {"j0": "downloaded", "j1": "failed", "j2": "downloaded"}


@pytest.mark.parametrize(
    ("reason", "one"),
    [(StopReason.TOKEN, one) for one in TOKENS] + [(StopReason.BALANCE, one) for one in BALANCES],
    ids=str,
)
def test_a_bad_token_or_no_balance_stops_submissions_and_fails_no_job(
    reason: StopReason, one: Reply
) -> None:
    """The job is pending again, and the next one is not submitted."""
    world = answered(one)

    outcome = world.run(many(3))

    assert outcome.reasons == (reason,)
    assert world.ledger.states() == {"j0": "downloaded", "j1": "pending"}
    assert world.ledger.known["j1"].attempts == 0


# 403 without a code.


@pytest.mark.parametrize("unavailable", [0, 1, 2])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_403_is_about_the_token_if_a_free_call_is_rejected_too(
    unavailable: int, *, accepted: bool
) -> None:
    """Otherwise it refuses that row, as a firewall does that does not like a text."""
    world = answered(reply(403))
    world.api.on_token = lambda: None if world.api.probes <= unavailable else accepted

    outcome = world.run(many(3))

    assert world.ledger.states()["j1"] == ("failed" if accepted else "pending")
    assert outcome.reasons == (() if accepted else (StopReason.TOKEN,))
    assert world.api.posts["prompt 2"] == accepted


def test_a_403_that_no_free_call_explains_refuses_its_row() -> None:
    """After three seconds without an answer to the free call."""
    world = answered(reply(403))
    world.api.on_token = lambda: None

    outcome = world.run(many(3))

    assert outcome.reasons == ()
    assert world.ledger.states() == {"j0": "downloaded", "j1": "failed", "j2": "downloaded"}


@pytest.mark.parametrize("status", [403, 404])
def test_a_signal_while_a_refusal_is_explained_leaves_no_doubt(status: int) -> None:
    """The refusal is on record before the run ends, although the free call hangs."""

    class Hanging(MemoryAPI):
        async def accepts_token(self, model: str) -> bool | None:
            await LoopClock().sleep(20.0)
            return True

        async def has_model(self, model: str) -> bool | None:
            return await self.accepts_token(model)

    refused = read_submit(reply(status))
    world = RunnerWorld(api=Hanging(on_submit=lambda v, n: refused))

    world.run(many(1), interrupt_after(0.5))

    assert world.ledger.states() == {"j0": "failed"}
    assert world.took_s < 4.5


@pytest.mark.parametrize("catalogue", [None, True, False])
def test_a_model_is_withdrawn_only_if_the_catalogue_says_404_too(catalogue: bool | None) -> None:
    """An unreachable catalogue is no proof: then the row is refused, and the next one is tried."""
    refused = read_submit(reply(404))
    api = MemoryAPI(
        on_submit=lambda v, n: refused if v["prompt"] == "prompt 0" else None,
        on_probe=lambda n: catalogue,
    )
    world = RunnerWorld(api=api)

    outcome = world.run(many(3))

    if catalogue is False:
        assert (set(outcome.stopped_models), world.ledger.states()) == ({MODEL}, {"j0": "pending"})
    else:
        assert outcome.stopped_models == {}
        assert world.ledger.states() == {"j0": "failed", "j1": "downloaded", "j2": "downloaded"}


# An hour of rejections.


@pytest.mark.parametrize("retry_after_s", [None, 1.0, 600.0, 1800.0, 3600.0])
def test_an_hour_of_rejections_ends_the_run(retry_after_s: float | None) -> None:
    """It says why, nothing is lost, and what is in flight was collected."""
    world = RunnerWorld()
    world.api.on_submit = lambda v, n: (
        read_submit(reply(429, retry_after_s=retry_after_s))
        if len(world.api.created) >= 2
        else None
    )

    outcome = world.run(many(9))

    assert outcome.reasons == (StopReason.RATE,)
    assert 3600.0 <= world.took_s < 3600.0 * 2 + 60
    found = Counter(world.ledger.states().values())
    assert (found["downloaded"], found["downloaded"] + found["pending"]) == (
        2,
        len(world.ledger.known),
    )


@pytest.mark.parametrize("between", ["accepted", "refused", "in doubt", "busy"])
def test_any_other_answer_begins_the_hour_again(between: str) -> None:
    """Every submission of an hour has to be rejected for its rate."""
    others: dict[str, SubmitAnswer | None] = {
        "accepted": None, "refused": read_submit(reply(422)), "in doubt": read_submit(reply(502)),
        "busy": read_submit(reply(503, retry_after_s=1.0)),
    }  # fmt: skip
    at_s: list[float] = []

    def submit(values: object, n: int) -> SubmitAnswer | None:
        at_s.append(now_s())
        half_hours = int(now_s() // 1800)
        if half_hours > 6:
            return None
        is_first = len(at_s) > 1 and int(at_s[-2] // 1800) != half_hours
        return others[between] if is_first else read_submit(reply(429))

    world = RunnerWorld(api=MemoryAPI(on_submit=submit), limits=Limits(concurrency=1))

    outcome = world.run(many(20))

    assert outcome.reasons == ()
    assert world.took_s > 3 * 3600


# Hold and breaker.


@dataclass
class SlowDisk(MemoryLedger):
    """Takes a while to write the intents of all but the first two jobs, once."""

    slow_s: float = 0.0
    written: set[str] = field(default_factory=set)

    async def record(self, job: str, event: Event) -> JobRecord:
        record = await super().record(job, event)
        if isinstance(event, Intended) and job not in {"j0", "j1", *self.written}:
            self.written.add(job)
            await LoopClock().sleep(self.slow_s)
        return record


@pytest.mark.parametrize("slow_s", [0.5, 1.5, 2.5, 10.0, 60.0])
def test_intents_on_their_way_when_a_hold_begins_are_not_sent_after_it(slow_s: float) -> None:
    """However slow the disk: after a hold one job is submitted alone until it is accepted."""
    sent: list[float] = []

    def submit(values: Mapping[str, object], n: int) -> SubmitAnswer | None:
        sent.append(now_s())
        return read_submit(reply(502)) if values["prompt"] == "prompt 1" else None

    world = RunnerWorld(
        api=MemoryAPI(on_submit=submit, answer_s=1.0, duration_s=60.0),
        ledger=SlowDisk(slow_s=slow_s),
    )

    world.run(many(12))

    assert Counter(world.ledger.states().values()) == {"in_doubt": 1, "downloaded": 11}
    lost_s = sent[1] + 1.0
    after = [at_s for at_s in sent if at_s > lost_s]
    assert after[1] - after[0] >= 1.0


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429, None])
def test_a_hold_ends_with_an_answer_below_500_that_is_not_408_or_429(status: int | None) -> None:
    """The catalogue is asked until it has such an answer; nothing is submitted before."""
    down: Reply | NoReply = (
        NoReply(lost=Lost.UNKNOWN, message="reset") if status is None else reply(status)
    )
    sent: list[float] = []

    def submit(values: object, n: int) -> SubmitAnswer | None:
        sent.append(now_s())
        return read_submit(reply(502)) if len(sent) == 1 else None

    world = RunnerWorld(
        api=MemoryAPI(
            on_submit=submit,
            on_probe=lambda n: read_presence(down if now_s() < 300.0 else reply(403)),
        )
    )

    world.run(many(3))

    assert all(at_s > 300.0 for at_s in sent[1:])
    assert Counter(world.ledger.states().values()) == {"in_doubt": 1, "downloaded": 2}


def test_refused_rows_do_not_count_for_the_breaker() -> None:
    """A hundred wrong rows fail one by one, and the good one after them is made."""
    refused = read_submit(reply(422))
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda v, n: None if v["prompt"] == "prompt 99" else refused)
    )

    outcome = world.run(many(100))

    assert outcome.stopped_models == {}
    assert Counter(world.ledger.states().values()) == {"failed": 99, "downloaded": 1}


@pytest.mark.parametrize("good_every", [0, 3, BREAKER_LIMIT, BREAKER_LIMIT + 1])
def test_ten_failures_of_one_kind_in_a_row_stop_a_model(good_every: int) -> None:
    """A success between them begins the count again; another model is not concerned."""
    broke = Broke(error=JobError(kind="content", message="no"))
    world = RunnerWorld(limits=Limits(concurrency=1))

    def result(request_id: str) -> PollAnswer | None:
        number = int(request_id[1:])
        is_other = str(dict(world.api.created)[request_id]["prompt"]).startswith("other")
        return None if is_other or (good_every and number % good_every == 0) else broke

    world.api.on_result = result

    outcome = world.run([*many(40), job("other", "other", model=OTHER_MODEL)])

    is_stopped = good_every in (0, BREAKER_LIMIT + 1)
    assert set(outcome.stopped_models) == ({MODEL} if is_stopped else set())
    assert world.ledger.states()["other"] == "downloaded"


def test_rejections_are_paced_while_they_last() -> None:
    """The pause grows to half a minute, so an hour of them is some hundred calls."""
    sent: list[float] = []

    def submit(values: object, n: int) -> SubmitAnswer | None:
        sent.append(now_s())
        return TryAgain(error=JobError(kind="not_accepted", message="rate", http_status=429))

    world = RunnerWorld(api=MemoryAPI(on_submit=submit))

    world.run(many(9))

    gaps = [after - before for before, after in pairwise(sent)]
    assert len(sent) < 300
    assert max(gaps) <= 31.0
