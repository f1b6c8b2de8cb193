"""What spoils the JSON of an answer: keys that are missing, words and shapes that are others.

The `error` of failed results, in every shape that is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from batchgen.sandbox.faults.kinds import Call, Edit, Fault, Spoiler
from batchgen.sandbox.http_answer import UNKNOWN, Answer, Delivery, error, of_json

Body = dict[str, object]


def _edited(edit: Callable[[Fault, Body, Call], Body]) -> Spoiler:
    """Changes the body of an answer that is a good one; errors pass as they are."""

    def spoil(fault: Fault, answer: Answer, call: Call) -> Delivery:
        if answer.code is not None:
            return Delivery(answer=answer)
        body = edit(fault, msgspec.json.decode(answer.body, type=Body), call)
        return Delivery(answer=answer._replace(body=msgspec.json.encode(body)))

    return spoil


def without(*names: str) -> Spoiler:
    """Takes keys out of the body."""
    return _edited(lambda _f, body, _c: {k: v for k, v in body.items() if k not in names})


word = _edited(lambda fault, body, _call: {**body, "status": fault.word})
"""Another word for the state."""


def _input(_fault: Fault, body: Body, call: Call) -> Body:
    # An address that is no output stands in it in any case: that is what clients fall for.
    return {**body, "input": {"image_url": f"{call.origin}/files/input/1.png", **call.values}}


def _odd_times(_fault: Fault, body: Body, _call: Call) -> Body:
    """Finished before it was created; one time with Z and no fraction."""
    created = str(body["created_at"])
    finished = str(body.get("finished_at", created))
    return {**body, "created_at": finished[:19] + "Z", "finished_at": created}


echo_input = _edited(_input)
"""The input in the result, an address in it."""
odd_times = _edited(_odd_times)
"""Times out of order."""


def _output(reshape: Callable[[list[str]], object]) -> Spoiler:
    def edit(_fault: Fault, body: Body, _call: Call) -> Body:
        output = body.get("output")
        if not isinstance(output, dict) or not output:
            return body
        (value,) = output.values()
        return {**body, "output": reshape([value] if isinstance(value, str) else value)}

    return _edited(edit)


output_string = _output(lambda urls: urls[0])
"""The first address, bare."""
output_list = _output(lambda urls: urls)
"""A bare list."""
output_nested = _output(
    lambda urls: {"results": [{"file": {"url": url, "width": 128}} for url in urls], "seed": 7}
)
"""Objects in a list in an object."""
output_twice = _output(lambda urls: {"audios": [*urls, *urls]})
"""Every address twice, under `audios` whatever it is."""


def outcome(fault: Fault, answer: Answer, call: Call) -> Delivery:
    """An answer to a cancellation that was not carried out."""
    if answer.code is not None:
        return Delivery(answer=answer)
    body = {"request_id": call.request_id, "status": "completed", "outcome": fault.word}
    return Delivery(answer=of_json(body, fault.http))


def _entries(edit: Callable[[Fault, Body], Body | None]) -> Spoiler:
    """Changes the entries of the models that the rule is about."""

    def spoil(fault: Fault, _answer: Answer, call: Call) -> Delivery:
        if call.entries is None:
            missing = error(UNKNOWN, f"model {call.model!r} does not exist")
            return Delivery(answer=missing)
        return Delivery(answer=call.entries(_only(fault, edit)))

    return spoil


def _only(fault: Fault, edit: Callable[[Fault, Body], Body | None]) -> Edit:
    def edited(entry: Body) -> Body | None:
        return edit(fault, entry) if fault.model in str(entry["model_id"]) else entry

    return edited


withdrawn = _entries(lambda _fault, _entry: None)
"""No longer there; submissions find no model."""
price_unit = _entries(lambda fault, entry: {**entry, "price_unit": fault.unit})
"""Priced by something else."""


def entries_without(*names: str) -> Spoiler:
    """Takes keys out of entries."""
    return _entries(lambda _f, entry: {k: v for k, v in entry.items() if k not in names})


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
