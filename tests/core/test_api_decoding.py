"""Decoding replies: what may be sent again, what is a refusal, and what is in doubt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.api_answers import (
    AccessDenied,
    Broke,
    CancelOutcome,
    Doubt,
    Ended,
    Gone,
    Lost,
    NoBalance,
    NoReply,
    Produced,
    Queued,
    Reply,
    RowRefused,
    Running,
    Submitted,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.api_decoding import read_cancel, read_result, read_status, read_submit
from batchgen.core.events import ErrorKind

ACCEPTED = {"request_id": "r1", "status_url": "https://elsewhere/"}


def reply(status: int, payload: object = None, **more: object) -> Reply:
    """A reply with a JSON body."""
    return Reply(http_status=status, payload=payload, **more)  # type: ignore[arg-type]


SUBMISSIONS: list[tuple[str, Reply | NoReply, type]] = [
    ("accepted", reply(200, ACCEPTED), Submitted),
    ("accepted as 202", reply(202, ACCEPTED), Submitted),
    ("no connection", NoReply(lost=Lost.NOT_SENT, message="refused"), TryAgain),
    ("time-out after sending", NoReply(lost=Lost.UNKNOWN, message="time-out"), Doubt),
    ("request time-out", reply(408), TryAgain),
    ("too early", reply(425), TryAgain),
    ("rate", reply(429), TryAgain),
    ("503 that asks to be called again", reply(503, retry_after_s=2.0), TryAgain),
    ("503 that asks nothing", reply(503), Doubt),
    ("500", reply(500), Doubt),
    ("502", reply(502), Doubt),
    ("504", reply(504), Doubt),
    ("redirect", reply(307), Doubt),
    ("200 without a request_id", reply(200, {"ok": True}), Doubt),
    ("200 that is no object", reply(200, ["r1"]), Doubt),
    ("200 that is no JSON", reply(200, None, text="<html>"), Doubt),
    ("200 with an empty request_id", reply(200, {"request_id": ""}), Doubt),
    ("bad input", reply(400, {"detail": "prompt"}), RowRefused),
    ("unknown model", reply(404, {"message": "no such model"}), RowRefused),
    ("too large", reply(413), RowRefused),
    ("schema", reply(422, {"error_code": 422001}), RowRefused),
    ("token by status", reply(401), TokenRejected),
    ("403 of a gateway", reply(403, {"message": "Forbidden"}), AccessDenied),
    ("403 of a firewall", reply(403, None, text="<html>"), AccessDenied),
    ("403 with a code that is not known", reply(200, {"error_code": 403777}), AccessDenied),
    ("token by 403 and its code", reply(403, {"error_code": 400004}), TokenRejected),
    ("permission by status and code", reply(403, {"code": 403001}), TokenRejected),
    ("token by code", reply(400, {"error_code": 400004}), TokenRejected),
    ("token by code as text", reply(400, {"error_code": "400004"}), TokenRejected),
    ("token by the other key", reply(400, {"code": 400004, "error": "x"}), TokenRejected),
    ("permission by code", reply(200, {"error_code": 403001}), TokenRejected),
    ("balance by status", reply(402), NoBalance),
    ("balance by code", reply(400, {"error_code": 400002}), NoBalance),
    ("balance by code of the older API", reply(200, {"error_code": 10001}), NoBalance),
    ("refusal within 200", reply(200, {"error_code": 422001}), RowRefused),
    ("doubt within 200", reply(200, {"error_code": 500001}), Doubt),
    ("rate within 200", reply(200, {"error_code": 429001}), TryAgain),
    ("zero is no error", reply(200, {**ACCEPTED, "error_code": 0, "code": 200}), Submitted),
]


@pytest.mark.parametrize(("name", "answer", "meaning"), SUBMISSIONS, ids=lambda v: str(v)[:40])
def test_submission_answers(name: str, answer: Reply | NoReply, meaning: type) -> None:
    """Each answer to a POST means one thing, and only proofs allow another POST."""
    assert isinstance(read_submit(answer), meaning), name


@given(
    status=st.integers(100, 599),
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["request_id", "error_code", "code", "error", "detail", "x"]), inner
            )
        ),
        max_leaves=6,
    ),
)
def test_only_proofs_allow_another_post(status: int, payload: object) -> None:
    """Whatever comes back, `TryAgain` is given only for 408, 425 and 429 or codes for them."""
    answer = read_submit(Reply(http_status=status, payload=payload))

    if isinstance(answer, TryAgain):
        assert answer.error.http_status in (408, 425, 429)
    if isinstance(answer, Submitted):
        assert 200 <= status < 300
        assert answer.request_id


def test_completed_on_status_is_no_success() -> None:
    """`completed` says that a job has ended; only the result says how."""
    for word in ("completed", "succeeded", "failed", "error", "cancelled", "canceled", "COMPLETED"):
        assert read_status(reply(200, {"status": word})) == Ended()


def test_status_words() -> None:
    """Waiting and running in every spelling; an unknown word still runs, and is named."""
    assert read_status(reply(200, {"status": "in_queue", "queue_position": 3})) == Queued(
        position=3
    )
    assert read_status(reply(200, {"status": "starting"})) == Running()
    assert read_status(reply(200, {"status": "warming"})) == Running(unknown_word="warming")


@pytest.mark.parametrize("status", [400, 403, 404, 408, 422, 429, 500, 502, 503, 504])
def test_a_failed_poll_never_fails_a_job(status: int) -> None:
    """It is made again, whatever went wrong."""
    assert isinstance(read_status(reply(status)), TryAgain)
    assert isinstance(read_result(reply(status)), TryAgain)
    assert isinstance(read_result(reply(200, {"error_code": status * 1000 + 999})), TryAgain)


def test_an_unknown_request_is_gone() -> None:
    """Only 404001 says that the API no longer knows a job."""
    gone = read_result(reply(404, {"error_code": 404001}))

    assert isinstance(gone, Gone)
    assert gone.error.kind == ErrorKind.EXPIRED


def test_results() -> None:
    """Success in both words, failure, cancellation, and unfinished answers."""
    output = {"image": "https://x/a.png"}
    for word in ("succeeded", "completed"):
        answer = read_result(reply(200, {"status": word, "output": output, "cost": 0.03}))
        assert answer == Produced(outputs=("https://x/a.png",), cost_usd=0.03)
    assert isinstance(read_result(reply(200, {"status": "failed", "error": "boom"})), Broke)
    assert read_result(reply(200, {"status": "cancelled"})) == WasCancelled()
    assert read_result(reply(200, {"status": "in_queue"})) == Queued()
    assert read_result(reply(200, {"status": "in_progress"})) == Running()


OUTPUTS: list[tuple[object, tuple[str, ...]]] = [
    ("https://x/1", ("https://x/1",)),
    (["https://x/1", "https://x/2", "https://x/1"], ("https://x/1", "https://x/2")),
    ({"image": "https://x/1", "images": ["https://x/1", "https://x/2"]},
     ("https://x/1", "https://x/2")),
    ({"video": "https://x/v", "meta": {"url": "https://x/deep"}, "n": 3},
     ("https://x/v", "https://x/deep")),
    ({"image": "ftp://x/1", "path": "/tmp/x"}, ()),
    (None, ()),
]  # fmt: skip


@pytest.mark.parametrize(("output", "urls"), OUTPUTS)
def test_output_urls(output: object, urls: tuple[str, ...]) -> None:
    """Every URL under `output`, each once, in document order; nothing from outside of it."""
    payload = {"status": "succeeded", "output": output, "input": {"image_url": "https://x/ref"}}

    answer = read_result(reply(200, payload))

    assert isinstance(answer, Produced)
    assert answer.outputs == urls


ERRORS: list[tuple[object, str, str, int | None]] = [
    ("out of memory", "out of memory", "generation", None),
    ({"message": "worker died", "errorCode": 1203}, "worker died", "generation", 1203),
    ({"type": "Timeout", "message": "too slow"}, "Timeout: too slow", "generation", None),
    ([{"errorCode": 5, "error": "a"}, {"error": "b"}], "a; b", "generation", 5),
    ({"message": "blocked by content policy"}, "blocked by content policy", "content", None),
    ({"odd": 1}, '{"odd":1}', "generation", None),
    (None, "the API reported a failure without a reason", "generation", None),
    (17, "17", "generation", None),
]


@pytest.mark.parametrize(("error", "message", "kind", "code"), ERRORS)
def test_errors_of_results(error: object, message: str, kind: str, code: int | None) -> None:
    """An error in any shape becomes one sentence, a kind and perhaps a code."""
    answer = read_result(reply(200, {"status": "failed", "error": error}))

    assert isinstance(answer, Broke)
    assert (answer.error.message, answer.error.kind, answer.error.error_code) == (
        message,
        kind,
        code,
    )


@pytest.mark.parametrize("cost", [True, -1, float("nan"), float("inf"), "0.03", None, {}])
def test_a_cost_that_is_no_amount_is_none(cost: object) -> None:
    """Only a finite number from zero is a cost."""
    answer = read_result(reply(200, {"status": "succeeded", "output": "https://x/1", "cost": cost}))

    assert isinstance(answer, Produced)
    assert answer.cost_usd is None


def test_cancel_answers() -> None:
    """The outcome decides, in the documented and the seen spellings; a failed call is unknown."""
    documented = reply(202, {"status": "completed", "outcome": "cancelled"})
    refused = reply(200, {"status": "completed", "outcome": "not_cancellable"})
    seen = reply(202, {"status": "cancelled", "outcome": "cancellation_requested"})

    assert read_cancel(documented) is CancelOutcome.CANCELLED
    assert read_cancel(refused) is CancelOutcome.NOT_CANCELLABLE
    assert read_cancel(seen) is CancelOutcome.CANCELLED
    assert read_cancel(reply(500)) is CancelOutcome.UNKNOWN
