"""Decoding of API replies: one reply in, one value out that says what it means for the caller.

Nothing is raised here and nothing is retried. The numeric `error_code` takes precedence over the
HTTP status, because the API reports a bad token (400004) and an empty balance (400002) in its 400
family and may send errors with HTTP 200 (RunComfy docs: error codes; vendor's MCP server).

`PROVES_NOT_ACCEPTED` is the one table of replies after which it is safe to POST again. The API has
no idempotency key and every accepted POST is paid for, so a reply that is neither in this table nor
a clear refusal puts the job in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

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
from batchgen.core.secret import REDACTED

MESSAGE_LIMIT = 300
"""Characters of a remote error message that are kept."""
MAX_COST_USD = 10_000.0
"""Of one job. A higher cost is not believed: it would use up every budget."""
MAX_COUNT = 10**9
"""Of what is counted: codes of errors, places in the queue. A larger number is not one."""

PROVES_NOT_ACCEPTED: Mapping[int, str] = {
    408: "the server gave up before it had read the request",
    425: "the server would not take a request this early",
    429: "the server turned the request away for its rate",
}
"""HTTP statuses (or codes that count as such) after which a POST may be repeated, and why.

There are two more cases, which a status alone does not show: no connection was made
(`Lost.NOT_SENT`), and a 503 with Retry-After, by which the server itself asks for another call.
"""

REFUSES_THE_ROW = frozenset({400, 404, 413, 422})
BAD_TOKEN_CODES = frozenset({400004, 401001})
NO_PERMISSION_CODE = 403001
"""By a submission, which is about no other resource, it says that the token is bad."""
NO_BALANCE_CODES = frozenset({400002, 10001})

CONTENT_WORDS = (
    "content policy", "content_policy", "moderation", "moderated", "nsfw", "safety",
    "sensitive content", "sensitive_content", "inappropriate", "prohibited content", "violat",
)  # fmt: skip
"""A failure with one of these is a refusal of the content: the same input would fail again."""

WAITING_WORDS = frozenset({"in_queue", "pending", "waiting", "queued"})
RUNNING_WORDS = frozenset({"in_progress", "starting", "processing", "running"})
SUCCESS_WORDS = frozenset({"succeeded", "completed"})
FAILURE_WORDS = frozenset({"failed", "error"})
CANCELLED_WORDS = frozenset({"cancelled", "canceled"})


@dataclass(frozen=True, slots=True)
class _ReplyStatus:
    """The status that counts, and the error that the body reports."""

    http: int
    code: int | None
    reply: Reply

    def error(self, kind: ErrorKind) -> JobError:
        message = _error_message(self.reply)
        return JobError(kind=kind, message=message, http_status=self.http, error_code=self.code)


def _status_of(reply: Reply) -> _ReplyStatus:
    """Return the status of a reply: that of its error code, else that of HTTP."""
    code = error_code(reply.payload)
    http = reply.http_status
    if code is not None and 400 <= (family := int(str(code)[:3])) <= 599:
        http = family
    return _ReplyStatus(http, code, reply)


def error_code(payload: object) -> int | None:
    """Return the numeric code of an error body; None if the body is not an error.

    Two shapes are read, `{"error_code": N}` and `{"code": N}`; 0 and 200 mean no error.
    """
    if not isinstance(payload, dict):
        return None
    for key in ("error_code", "code"):
        value = payload.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        code = _count(value)
        if code is not None and code >= 400:
            return code
    return None


def _count(value: object) -> int | None:
    """Return a whole number from 0 to `MAX_COUNT`; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def _error_message(reply: Reply) -> str:
    """Return the message, from the keys that the vendor's clients read, or else the text."""
    if isinstance(reply.payload, dict):
        for key in ("error_message", "message", "error", "detail"):
            value = reply.payload.get(key)
            if isinstance(value, str) and value:
                return value[:MESSAGE_LIMIT]
            if isinstance(value, (list, dict)) and value:
                return error_of_result(value).message
    return " ".join(reply.text.split())[:MESSAGE_LIMIT] or f"HTTP {reply.http_status}"


def read_submit(reply: Reply | NoReply) -> SubmitAnswer:
    """Decode the reply to the POST of a job."""
    if isinstance(reply, NoReply):
        return _unanswered_submit(reply)
    status = _status_of(reply)
    if status.code in BAD_TOKEN_CODES | {NO_PERMISSION_CODE} or status.http == 401:
        return TokenRejected(error=status.error(ErrorKind.NOT_ACCEPTED))
    if status.http == 403:
        return AccessDenied(error=status.error(ErrorKind.REFUSED))
    if status.code in NO_BALANCE_CODES or status.http == 402:
        return NoBalance(error=status.error(ErrorKind.NOT_ACCEPTED))
    if status.http in REFUSES_THE_ROW:
        return RowRefused(error=status.error(ErrorKind.REFUSED))
    asks_for_another_call = status.http == 503 and reply.retry_after_s is not None
    if status.http in PROVES_NOT_ACCEPTED or asks_for_another_call:
        error = status.error(ErrorKind.NOT_ACCEPTED)
        return TryAgain(error=error, retry_after_s=reply.retry_after_s)
    if 200 <= status.http < 300 and (request_id := _request_id(reply.payload)):
        return Submitted(request_id=request_id)
    return Doubt(error=status.error(ErrorKind.LOST_ANSWER))


def _unanswered_submit(reply: NoReply) -> TryAgain | Doubt:
    if reply.lost is Lost.NOT_SENT:
        error = JobError(kind=ErrorKind.NOT_ACCEPTED, message=reply.message)
        return TryAgain(error=error, answered=False)
    return Doubt(error=JobError(kind=ErrorKind.LOST_ANSWER, message=reply.message))


def _request_id(payload: object) -> str | None:
    value = payload.get("request_id") if isinstance(payload, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**256 else None
    if isinstance(value, str) and 0 < len(value) <= 256 and value.isprintable():
        # An id with the token in it can neither be recorded nor asked for.
        return value if value not in (".", "..") and REDACTED not in value else None
    return None


def read_status(reply: Reply | NoReply) -> PollAnswer:
    """Decode the reply to `GET .../status`. It is never a success, which only the result tells."""
    body = _poll_body(reply)
    if not isinstance(body, Mapping):
        return body
    word = _status_word(body)
    if word in WAITING_WORDS:
        return Queued(position=_count(body.get("queue_position")))
    if word in RUNNING_WORDS:
        return Running()
    if word in SUCCESS_WORDS | FAILURE_WORDS | CANCELLED_WORDS:
        return Ended()
    return Running(unknown_word=word)


def read_result(reply: Reply | NoReply) -> PollAnswer:
    """Decode the reply to `GET .../result`, from which alone a success or a failure is learned."""
    body = _poll_body(reply)
    if not isinstance(body, Mapping):
        return body
    word = _status_word(body)
    cost_usd, odd_cost = reported_cost(body), _odd_cost(body)
    if word in SUCCESS_WORDS:
        outputs = output_urls(body.get("output"))
        return Produced(outputs=outputs, cost_usd=cost_usd, odd_cost=odd_cost)
    if word in FAILURE_WORDS:
        error = error_of_result(body.get("error"))
        return Broke(error=error, cost_usd=cost_usd, odd_cost=odd_cost)
    if word in CANCELLED_WORDS:
        return WasCancelled()
    if word in WAITING_WORDS:
        return Queued()
    return Running(unknown_word=None if word in RUNNING_WORDS else word)


def _poll_body(reply: Reply | NoReply) -> Mapping[str, object] | TryAgain | TokenRejected | Gone:
    """Return the body of a reply to a poll, or an answer if it has no status word.

    Whatever else goes wrong, the poll can be made again: a failed poll never fails a job.
    """
    if isinstance(reply, NoReply):
        error = JobError(kind=ErrorKind.LOST_ANSWER, message=reply.message)
        return TryAgain(error=error, answered=False)
    status = _status_of(reply)
    if status.code in BAD_TOKEN_CODES or status.http == 401:
        return TokenRejected(error=status.error(ErrorKind.LOST_ANSWER))
    if status.code == 404001:
        return Gone(error=status.error(ErrorKind.EXPIRED))
    body = reply.payload
    if 200 <= status.http < 300 and isinstance(body, dict) and isinstance(body.get("status"), str):
        return body
    error = status.error(ErrorKind.LOST_ANSWER)
    return TryAgain(error=error, retry_after_s=reply.retry_after_s)


def _status_word(body: Mapping[str, object]) -> str:
    return str(body.get("status", "")).strip().lower()


def read_cancel(reply: Reply | NoReply) -> CancelOutcome:
    """Decode the reply to a request to cancel.

    `outcome` decides. `status` counts only if it says `cancelled`: the API answers `completed`
    whatever became of the request.
    """
    if isinstance(reply, NoReply) or not 200 <= _status_of(reply).http < 300:
        return CancelOutcome.UNKNOWN
    body = reply.payload if isinstance(reply.payload, dict) else {}
    outcome = str(body.get("outcome", "")).lower()
    if outcome in CANCELLED_WORDS or _status_word(body) in CANCELLED_WORDS:
        return CancelOutcome.CANCELLED
    if outcome == "not_cancellable":
        return CancelOutcome.NOT_CANCELLABLE
    return CancelOutcome.UNKNOWN


def read_presence(reply: Reply | NoReply) -> bool | None:
    """Tell from the reply to a free call of the catalogue whether the API has a model.

    None if the API is not available: no answer, 408, 429 or a 5xx. False only for a 404. Any other
    answer shows that the API is available, whatever else is wrong.
    """
    if isinstance(reply, NoReply):
        return None
    http = _status_of(reply).http
    if http >= 500 or http in (408, 429):
        return None
    return http != 404


def read_token_check(reply: Reply | NoReply) -> bool | None:
    """Tell from the reply to a free call whether the API accepts the token; None if unavailable."""
    presence = read_presence(reply)
    if presence is None or isinstance(reply, NoReply):
        return None
    status = _status_of(reply)
    return not (status.code in BAD_TOKEN_CODES or status.http in (401, 403))


def output_urls(output: object) -> tuple[str, ...]:
    """Return every http(s) URL within the `output` of a result, each once, in document order.

    Nothing outside of `output` is read: a result repeats the inputs, and a reference image of the
    user is not an output.
    """
    urls: dict[str, None] = {}
    stack = [output]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item.lower().startswith(("https://", "http://")):
                urls[item] = None
        elif isinstance(item, Mapping):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            stack.extend(reversed(item))
    return tuple(urls)


def reported_cost(payload: Mapping[str, object]) -> float | None:
    """Return the `cost` in USD; None if it is not an amount from 0 to `MAX_COST_USD`."""
    return amount_usd(payload.get("cost"), at_least=0.0, at_most=MAX_COST_USD)


def amount_usd(value: object, *, at_least: float, at_most: float) -> float | None:
    """Return an amount within bounds; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if at_least <= value <= at_most else None


def _odd_cost(payload: Mapping[str, object]) -> str:
    """Return a cost that is not an amount, for a note; empty if there is none."""
    cost = payload.get("cost")
    if cost is None or reported_cost(payload) is not None:
        return ""
    text = _compact(cost)
    return text if len(text) <= 40 else f"{text[:40]}…"


def error_of_result(error: object) -> JobError:
    """Return the error of a failed result, from any JSON value (seen: string, object, list)."""
    message, code, label = _parts(error)
    if label and label.lower() not in message.lower():
        message = f"{label}: {message}" if message else label
    message = " ".join(message.split())[:MESSAGE_LIMIT]
    message = message or "the API reported a failure without a reason"
    is_content = any(word in message.lower() for word in CONTENT_WORDS)
    kind = ErrorKind.CONTENT if is_content else ErrorKind.GENERATION
    return JobError(kind=kind, message=message, error_code=code)


def _parts(error: object) -> tuple[str, int | None, str]:
    """Return message, numeric code and symbolic code of an error value."""
    if error is None or isinstance(error, str):
        return error or "", None, ""
    if isinstance(error, Mapping):
        return _parts_of_object(error)
    if isinstance(error, list):
        parts = [_parts(item) for item in error]
        codes = [code for _, code, _ in parts if code is not None]
        return "; ".join(m or label for m, _, label in parts), codes[0] if codes else None, ""
    return _compact(error), None, ""


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
        if (code := _count(value)) is not None:
            return message or _compact(error), code, ""
        if isinstance(value, str) and value:
            return message, None, value
    return message or _compact(error), None, ""


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()
