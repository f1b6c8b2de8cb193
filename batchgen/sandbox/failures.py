"""The `error` of failed results, in every shape that is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.sandbox.fault_kinds import Fault

SAYING = "the rehearsal made this job fail"

SHAPES: Mapping[str, Callable[[str, int], object]] = {
    "string": lambda said, _code: said,
    "object": lambda said, _code: {"type": "generation_error", "message": said},
    "list": lambda said, code: [{"errorCode": code, "error": said, "debugInfo": ""}],
    "details": lambda said, code: {
        "error": said, "details": "", "debugInfo": "", "errorCode": code
    },
    "nested": lambda said, code: {"error": {"code": code, "message": said}},
    "strings": lambda said, _code: [said],
    "number": lambda _said, code: code,
    "null": lambda _said, _code: None,
}  # fmt: skip
"""The shapes of `error` that clients of the vendor read, and some that nobody has seen."""

MISSING = "missing"
"""The shape of no `error` at all."""


def error_of(fault: Fault) -> dict[str, object]:
    """`error` of a failed result, or nothing."""
    if fault.shape == MISSING:
        return {}
    return {"error": SHAPES[fault.shape](fault.message or SAYING, fault.code or 500001)}
