"""What is inside a result: output URLs, the cost, and an error in any of its shapes.

Pure readers of JSON values. Output is looked for under `output` only: results echo the inputs,
and a reference image of the user is no output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

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
