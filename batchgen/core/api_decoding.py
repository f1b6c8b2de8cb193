"""Reading one reply into one value: what an answer of the API means for the caller.

Nothing is raised, nothing is retried here. The numeric `error_code` is read before the HTTP
status, because the API reports a bad token (400004) and an empty balance (400002) in its 400
family and may send errors with HTTP 200 (RunComfy docs: error codes; vendor's MCP server).

`PROVES_NOT_ACCEPTED` is the one table of what makes it safe to POST again. Whatever is not in it
and is no clear refusal is doubt: the API has no idempotency key and every accepted POST is paid.

What is inside a result: output URLs, the cost, and an error in any of its shapes.

Pure readers of JSON values. Output is looked for under `output` only: results echo the inputs,
and a reference image of the user is no output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from batchgen.core.api_answers import (
    Broke,
    CancelOutcome,
    Doubt,
    Ended,
    Gone,
    Lost,
    NoBalance,
    NoReply,
    PollAnswer,
    Produced,
    Queued,
    Reply,
    RowRefused,
    Running,
    SubmitAnswer,
    Submitted,
    TokenRejected,
    TryAgain,
    WasCancelled,
)
from batchgen.core.events import ErrorKind, JobError

MESSAGE_LIMIT = 300
"""Characters of a remote error that are kept."""

CONTENT_WORDS = (
    "content policy", "content_policy", "moderation", "moderated", "nsfw", "safety",
    "sensitive content", "sensitive_content", "inappropriate", "prohibited content", "violat",
)  # fmt: skip
"""A failure that says one of these is a refusal of the content: the same input fails again."""


def output_urls(output: object) -> tuple[str, ...]:
    """Every http(s) URL under the result's `output`, each once, in document order."""
    return tuple(dict.fromkeys(_urls(output)))


def _urls(value: object) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item.lower().startswith(("https://", "http://")):
                yield item
        elif isinstance(item, Mapping):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def reported_cost(payload: Mapping[str, object]) -> float | None:
    """The `cost` in USD, where it is a usable number."""
    cost = payload.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    return float(cost) if math.isfinite(cost) and cost >= 0 else None


def error_of_result(error: object) -> JobError:
    """The error of a failed result; any JSON value may stand there (seen: string, object, list)."""
    message, code, label = _parts(error)
    if label and label.lower() not in message.lower():
        message = f"{label}: {message}" if message else label
    message = " ".join(message.split())[:MESSAGE_LIMIT]
    message = message or "the API reported a failure without a reason"
    lowered = message.lower()
    content = any(word in lowered for word in CONTENT_WORDS)
    kind = ErrorKind.CONTENT if content else ErrorKind.GENERATION
    return JobError(kind=kind, message=message, error_code=code)


def _parts(error: object) -> tuple[str, int | None, str]:
    """Message, numeric code and symbolic code of one error value."""
    if error is None:
        return "", None, ""
    if isinstance(error, str):
        return error, None, ""
    if isinstance(error, Mapping):
        return _parts_of_object(error)
    if isinstance(error, list):
        parts = [_parts(item) for item in error]
        codes = [code for _, code, _ in parts if code is not None]
        return "; ".join(m or label for m, _, label in parts), codes[0] if codes else None, ""
    return msgspec.json.encode(error).decode(), None, ""


def _parts_of_object(error: Mapping[str, object]) -> tuple[str, int | None, str]:
    message = ""
    for key in ("message", "error", "error_message", "details", "msg"):
        value = error.get(key)
        if isinstance(value, str) and value:
            message = value
            break
        if isinstance(value, (Mapping, list)) and value:
            return _parts(value)
    for key in ("errorCode", "error_code", "code", "type"):
        value = error.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return message or _compact(error), value, ""
        if isinstance(value, str) and value:
            return message, None, value
    return message or _compact(error), None, ""


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


PROVES_NOT_ACCEPTED: Mapping[int, str] = {
    408: "the server gave up before it had read the request",
    425: "the server would not take a request this early",
    429: "the server turned the request away for its rate",
}
"""HTTP statuses (or codes that stand for them) after which a POST may be repeated, and why.

Two more are not statuses alone: no connection was made (`Lost.NOT_SENT`), and a 503 that carries
Retry-After, with which the server itself asks to be called again.
"""

REFUSES_THE_ROW = frozenset({400, 404, 413, 422})
BAD_TOKEN_CODES = frozenset({400004, 401001})
NO_BALANCE_CODES = frozenset({400002, 10001})

WAITING_WORDS = frozenset({"in_queue", "pending", "waiting", "queued"})
RUNNING_WORDS = frozenset({"in_progress", "starting", "processing", "running"})
SUCCESS_WORDS = frozenset({"succeeded", "completed"})
FAILURE_WORDS = frozenset({"failed", "error"})
CANCELLED_WORDS = frozenset({"cancelled", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """The HTTP status that counts, and what the body says of the error."""

    status: int
    code: int | None
    message: str

    def error(self, kind: ErrorKind) -> JobError:
        return JobError(
            kind=kind, message=self.message, http_status=self.status, error_code=self.code
        )


def _verdict(reply: Reply) -> _Verdict:
    code = error_code(reply.payload)
    status = reply.http_status
    if code is not None and 400 <= (family := int(str(code)[:3])) <= 599:
        status = family
    return _Verdict(status=status, code=code, message=_error_message(reply))


def error_code(payload: object) -> int | None:
    """The numeric code of an error body, or None where it is no error body.

    Two shapes are read, `{"error_code": N}` and `{"code": N}`; 0 and 200 mean no error.
    """
    if not isinstance(payload, dict):
        return None
    for key in ("error_code", "code"):
        value = payload.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 400:
            return value
    return None


def _error_message(reply: Reply) -> str:
    """The message in the order the vendor's own clients look for it, else the body's beginning."""
    if isinstance(reply.payload, dict):
        for key in ("error_message", "message", "error", "detail"):
            value = reply.payload.get(key)
            if isinstance(value, str) and value:
                return value[:300]
            if isinstance(value, (list, dict)) and value:
                return error_of_result(value).message
    return " ".join(reply.text.split())[:300] or f"HTTP {reply.http_status}"


def read_submit(reply: Reply | NoReply) -> SubmitAnswer:
    """What a POST of a job came to."""
    if isinstance(reply, NoReply):
        return _unanswered_submit(reply)
    verdict = _verdict(reply)
    if verdict.code in BAD_TOKEN_CODES or verdict.status in (401, 403):
        return TokenRejected(error=verdict.error(ErrorKind.NOT_ACCEPTED))
    if verdict.code in NO_BALANCE_CODES or verdict.status == 402:
        return NoBalance(error=verdict.error(ErrorKind.NOT_ACCEPTED))
    if verdict.status in REFUSES_THE_ROW:
        return RowRefused(error=verdict.error(ErrorKind.REFUSED))
    if verdict.status in PROVES_NOT_ACCEPTED or (
        verdict.status == 503 and reply.retry_after_s is not None
    ):
        error = verdict.error(ErrorKind.NOT_ACCEPTED)
        return TryAgain(error=error, retry_after_s=reply.retry_after_s)
    if 200 <= verdict.status < 300 and (request_id := _request_id(reply.payload)):
        return Submitted(request_id=request_id)
    return Doubt(error=verdict.error(ErrorKind.LOST_ANSWER))


def _unanswered_submit(reply: NoReply) -> TryAgain | Doubt:
    if reply.lost is Lost.NOT_SENT:
        error = JobError(kind=ErrorKind.NOT_ACCEPTED, message=reply.message)
        return TryAgain(error=error, answered=False)
    return Doubt(error=JobError(kind=ErrorKind.LOST_ANSWER, message=reply.message))


def _request_id(payload: object) -> str | None:
    value = payload.get("request_id") if isinstance(payload, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and 0 < len(value) <= 256 and value.isprintable():
        return value if value not in (".", "..") else None
    return None


def read_status(reply: Reply | NoReply) -> PollAnswer:
    """What `GET .../status` came to. Never a success: that is the result's to say."""
    problem = _unusable(reply)
    if problem is not None:
        return problem
    word, payload = _status_word(reply)
    if word in WAITING_WORDS:
        position = payload.get("queue_position")
        return Queued(position=position if isinstance(position, int) else None)
    if word in RUNNING_WORDS:
        return Running()
    if word in SUCCESS_WORDS | FAILURE_WORDS | CANCELLED_WORDS:
        return Ended()
    return Running(unknown_word=word)


def read_result(reply: Reply | NoReply) -> PollAnswer:
    """What `GET .../result` came to: the only place where a success or a failure is learned."""
    problem = _unusable(reply)
    if problem is not None:
        return problem
    word, payload = _status_word(reply)
    cost_usd = reported_cost(payload)
    if word in SUCCESS_WORDS:
        return Produced(outputs=output_urls(payload.get("output")), cost_usd=cost_usd)
    if word in FAILURE_WORDS:
        return Broke(error=error_of_result(payload.get("error")), cost_usd=cost_usd)
    if word in CANCELLED_WORDS:
        return WasCancelled()
    if word in WAITING_WORDS:
        return Queued()
    return Running(unknown_word=None if word in RUNNING_WORDS else word)


def _status_word(reply: Reply | NoReply) -> tuple[str, Mapping[str, object]]:
    payload = reply.payload if isinstance(reply, Reply) else None
    if not isinstance(payload, dict):
        return "", {}
    return str(payload.get("status", "")).strip().lower(), payload


def _unusable(reply: Reply | NoReply) -> TryAgain | TokenRejected | Gone | None:
    """Why a look taught nothing; None where the body can be read. A poll never fails a job."""
    if isinstance(reply, NoReply):
        error = JobError(kind=ErrorKind.LOST_ANSWER, message=reply.message)
        return TryAgain(error=error, answered=False)
    verdict = _verdict(reply)
    if verdict.code in BAD_TOKEN_CODES or verdict.status == 401:
        return TokenRejected(error=verdict.error(ErrorKind.LOST_ANSWER))
    if verdict.code == 404001:
        return Gone(error=verdict.error(ErrorKind.EXPIRED))
    known = isinstance(reply.payload, dict) and isinstance(reply.payload.get("status"), str)
    if 200 <= verdict.status < 300 and known:
        return None
    error = verdict.error(ErrorKind.LOST_ANSWER)
    return TryAgain(error=error, retry_after_s=reply.retry_after_s)


def read_cancel(reply: Reply | NoReply) -> CancelOutcome:
    """Any 2xx is an answer; `outcome` says which, and `status` is not to be trusted."""
    if isinstance(reply, NoReply) or not 200 <= _verdict(reply).status < 300:
        return CancelOutcome.UNKNOWN
    payload = reply.payload if isinstance(reply.payload, dict) else {}
    outcome = str(payload.get("outcome", "")).lower()
    if outcome in CANCELLED_WORDS or str(payload.get("status", "")).lower() in CANCELLED_WORDS:
        return CancelOutcome.CANCELLED
    if outcome == "not_cancellable":
        return CancelOutcome.NOT_CANCELLABLE
    return CancelOutcome.UNKNOWN


def read_presence(reply: Reply | NoReply) -> bool | None:
    """What a free call to the catalogue says of a model.

    None where the API is not there: no answer, 408, 429 or a 5xx. False only for a 404; any other
    answer shows an API that is there, whatever else is wrong.
    """
    if isinstance(reply, NoReply):
        return None
    status = _verdict(reply).status
    if status >= 500 or status in (408, 429):
        return None
    return status != 404
