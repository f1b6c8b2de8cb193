"""All kinds of fault, a row for each: on which calls, with which options, and what the client gets.

docs/sandbox.md has the same rows for users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate

import msgspec

from batchgen.sandbox import http_answer
from batchgen.sandbox.faults.kinds import (
    BODIES,
    EVERYWHERE,
    Body,
    Call,
    Effect,
    Ending,
    Fault,
    FaultKind,
    On,
)
from batchgen.sandbox.http_answer import (
    CLOSED,
    Answer,
    error,
    gateway_error,
    of_json,
    with_header,
)
from batchgen.sandbox.served_file import remade, serve

FOREIGN = "https://elsewhere.invalid/1.png"
"""Under a top-level domain that never resolves, so that no real host is called."""


def _http_status(fault: Fault, _answer: Answer, call: Call) -> Answer:
    http = int(fault.do)
    form = fault.body or ("error_code" if fault.code is not None else "message")
    answer = BODIES[form](http, fault.code or http * 1000 + 1)
    if fault.retry_after is not None:
        answer = with_header(answer, "Retry-After", f"{fault.retry_after:g}")
    if fault.retry_after_date is not None:
        date = formatdate(call.now + fault.retry_after_date, usegmt=True)
        answer = with_header(answer, "Retry-After", date)
    return answer


def _reset(_fault: Fault, _answer: Answer, _call: Call) -> Answer:
    return CLOSED._replace(reset=True)


def _half(_fault: Fault, answer: Answer, _call: Call) -> Answer:
    """Return half of the body, announced as all of it."""
    return answer._replace(body=answer.body[: len(answer.body) // 2], code=None)


def _redirect(fault: Fault, _answer: Answer, _call: Call) -> Answer:
    answer = Answer(fault.http, b"")
    if fault.to == "host":
        return with_header(answer, "Location", FOREIGN)
    return answer._replace(moved=True)


def _edit(edit: Callable[[Fault, Body, Call], Body]) -> Effect:
    """Return the effect that edits the JSON of a good answer; errors stay as they are."""

    def effect(fault: Fault, answer: Answer, call: Call) -> Answer:
        if answer.code is not None:
            return answer
        body = edit(fault, msgspec.json.decode(answer.body, type=Body), call)
        return answer._replace(body=msgspec.json.encode(body))

    return effect


def _without(*keys: str) -> Effect:
    return _edit(lambda _fault, body, _call: _less(body, keys))


def _less(body: Body, keys: tuple[str, ...]) -> Body:
    return {key: value for key, value in body.items() if key not in keys}


def _output(reshape: Callable[[list[str]], object]) -> FaultKind:
    """Return the kind of fault that gives the URLs of a result another form."""

    def edit(_fault: Fault, body: Body, _call: Call) -> Body:
        output = body.get("output")
        if not isinstance(output, dict) or not output:
            return body
        (value,) = output.values()
        return {**body, "output": reshape([value] if isinstance(value, str) else value)}

    return FaultKind(_edit(edit), on=_RESULT, steady=True)


def _echo_input(_fault: Fault, body: Body, call: Call) -> Body:
    # There is always an address in it that is not an output: clients must not take it for one.
    return {**body, "input": {"image_url": f"{call.origin}/files/input/1.png", **call.values}}


def _odd_times(_fault: Fault, body: Body, _call: Call) -> Body:
    """Put the end before the beginning; one time has a Z and no fraction."""
    created = str(body["created_at"])
    finished = str(body.get("finished_at", created))
    return {**body, "created_at": finished[:19] + "Z", "finished_at": created}


def _outcome(fault: Fault, answer: Answer, call: Call) -> Answer:
    if answer.code is not None:
        return answer
    body = {"request_id": call.request_id, "status": "completed", "outcome": fault.word}
    return of_json(body, fault.http)


def _entries(
    edit: Callable[[Fault, Body], Body | None],
    on: frozenset[On] = frozenset({On.CATALOGUE}),
    options: tuple[str, ...] = (),
) -> FaultKind:
    """Return the kind of fault that edits the entries of the models that the rule is about."""

    def effect(fault: Fault, _answer: Answer, call: Call) -> Answer:
        if call.entries is None:
            return error(http_answer.UNKNOWN, f"model {call.model!r} does not exist")
        return call.entries(lambda entry: edit(fault, entry) if is_meant(fault, entry) else entry)

    def is_meant(fault: Fault, entry: Body) -> bool:
        return fault.model in str(entry["model_id"])

    return FaultKind(effect, on=on, options=options, accepted=False, steady=True)


def _instead(
    answer: Callable[[Fault], Answer],
    on: frozenset[On] = EVERYWHERE,
    options: tuple[str, ...] = (),
    *,
    steady: bool = False,
) -> FaultKind:
    """Return the kind of fault that gives another answer instead of carrying out the call."""

    def effect(fault: Fault, _answer: Answer, _call: Call) -> Answer:
        return answer(fault)

    return FaultKind(effect, on=on, options=options, accepted=False, steady=steady)


def _expired_url(fault: Fault, answer: Answer, call: Call) -> Answer:
    """Refuse the first address of a file; the result then names another one."""
    if call.fresh:
        return answer
    return gateway_error(fault.http)._replace(kills_link=True)


_JSON = EVERYWHERE - {On.FILE}
_SUBMIT = frozenset({On.SUBMIT})
_STATUS = frozenset({On.STATUS})
_RESULT = frozenset({On.RESULT})
_FILE = frozenset({On.FILE})
_ENDS = _SUBMIT | _RESULT

HTTP_STATUSES = FaultKind(
    _http_status, options=("accepted", "retry_after", "retry_after_date", "code", "body"),
    accepted=False,
)  # fmt: skip
"""The kind of every HTTP status, 400 to 599."""

FAULTS: Mapping[str, FaultKind] = {
    # the connection
    "lose-answer": FaultKind(lambda *_: CLOSED),
    "drop": FaultKind(lambda *_: CLOSED, accepted=False),
    "reset": FaultKind(_reset, options=("accepted",), accepted=False),
    "refuse": FaultKind(
        _reset, on=frozenset({On.ANY}), selectors=("from_s", "to_s"), accepted=False, refuses=True
    ),
    "hang": FaultKind(
        lambda fault, _answer, _call: CLOSED._replace(delay_s=fault.for_s),
        options=("accepted", "for_s"),
    ),
    "slow": FaultKind(
        lambda fault, answer, _call: answer._replace(delay_s=fault.delay_s), options=("delay_s",)
    ),
    "drip": FaultKind(
        lambda fault, answer, _call: answer._replace(bytes_per_s=fault.bytes_per_s),
        options=("bytes_per_s",),
    ),
    "chunked": FaultKind(lambda _fault, answer, _call: answer._replace(chunked=True), steady=True),
    # the answer as a whole
    "html": _instead(lambda _fault: BODIES["html"](200, 0), options=("accepted",)),
    "empty": FaultKind(
        lambda _fault, answer, _call: Answer(200, b"", answer.content_type),
        options=("accepted",), accepted=False,
    ),
    "bad-json": FaultKind(_half, on=_JSON),
    "error-code": _instead(
        lambda fault: BODIES["error_code"](200, fault.code or http_answer.BAD_INPUT),
        on=_JSON, options=("accepted", "code"),
    ),
    "redirect": FaultKind(
        _redirect, options=("accepted", "to", "http"), defaults={"http": 302}, accepted=False
    ),
    "revoked": _instead(
        lambda _fault: error(http_answer.BAD_TOKEN, "the token was revoked"), on=_JSON, steady=True
    ),
    "no-balance": _instead(
        lambda _fault: error(http_answer.NO_BALANCE, "the balance does not cover this job"),
        on=_SUBMIT,
    ),
    # the JSON of a good answer
    "no-request-id": FaultKind(
        _without("request_id"), on=_SUBMIT | _STATUS | _RESULT | {On.CANCEL}
    ),
    "no-urls": FaultKind(
        _without("status_url", "result_url", "cancel_url"), on=_SUBMIT | _STATUS, steady=True
    ),
    "no-position": FaultKind(_without("queue_position"), on=_STATUS, steady=True),
    "word": FaultKind(
        _edit(lambda fault, body, _call: {**body, "status": fault.word}),
        on=_STATUS | _RESULT, options=("word",), defaults={"word": "warming_up"},
    ),
    "outcome": FaultKind(
        _outcome, on=frozenset({On.CANCEL}), options=("word", "http"),
        defaults={"word": "cancelled", "http": 202}, accepted=False,
    ),
    "output-string": _output(lambda urls: urls[0]),
    "output-list": _output(lambda urls: urls),
    "output-nested": _output(
        lambda urls: {"results": [{"file": {"url": url, "width": 128}} for url in urls], "seed": 7}
    ),
    "output-twice": _output(lambda urls: {"audios": [*urls, *urls]}),
    "echo-input": FaultKind(_edit(_echo_input), on=_RESULT, steady=True),
    "odd-times": FaultKind(_edit(_odd_times), on=_RESULT, steady=True),
    # the entries of the catalogue
    "withdrawn": _entries(
        lambda _fault, _entry: None, on=frozenset({On.CATALOGUE, On.SUBMIT, On.ANY})
    ),
    "no-price": _entries(
        lambda _fault, entry: _less(entry, ("base_price_usd", "price_unit", "pricing_note"))
    ),
    "price-unit": _entries(
        lambda fault, entry: {**entry, "price_unit": fault.unit}, options=("unit",)
    ),
    "no-schema": _entries(lambda _fault, entry: _less(entry, ("input_schema",))),
    # downloads
    "truncate": FaultKind(lambda _fault, answer, _call: answer._replace(cut=True), on=_FILE),
    "short": FaultKind(_half, on=_FILE),
    "wrong-type": FaultKind(
        lambda fault, answer, _call: answer._replace(content_type=fault.type),
        on=_FILE, options=("type",),
    ),
    "no-range": FaultKind(
        lambda _fault, answer, call: serve(call.file, {}) if call.file else answer,
        on=_FILE, steady=True,
    ),
    "new-etag": FaultKind(
        lambda _fault, answer, call: (
            serve(remade(call.file), call.headers) if call.file else answer
        ),
        on=_FILE,
    ),
    "expired-url": FaultKind(
        _expired_url, on=_FILE, options=("http",), defaults={"http": 403}, steady=True
    ),
    # how jobs end
    "failed": FaultKind(
        on=_ENDS, options=("shape", "message", "code", "cost_usd", "word"),
        defaults={"word": "completed"}, ending=Ending(fails=True),
    ),
    "no-output": FaultKind(on=_ENDS, ending=Ending()),
    "expired": FaultKind(
        on=_ENDS, options=("after_s",), ending=Ending(has_outputs=True, forgets=True)
    ),
}  # fmt: skip
"""Every kind of fault by its name, HTTP statuses excepted."""

_GOOD = Ending(has_outputs=True)


def kind_of(do: str) -> FaultKind | None:
    """Return a kind of fault by its name; None if there is none."""
    if do.isascii() and do.isdigit():
        return HTTP_STATUSES if 400 <= int(do) <= 599 else None
    return FAULTS.get(do)


def ending_of(fault: Fault | None) -> Ending:
    """Return how a job with this fault ends; None: well."""
    kind = kind_of(fault.do) if fault else None
    return kind.ending if kind and kind.ending else _GOOD


def answer_with(fault: Fault, answer: Answer, call: Call) -> Answer:
    """Return what the client gets instead of this answer."""
    kind = kind_of(fault.do)
    return kind.effect(fault, answer, call) if kind else answer
