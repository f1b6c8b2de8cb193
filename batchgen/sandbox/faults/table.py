"""What can go wrong, one row each: on which calls, with which options, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.sandbox.faults import connection_faults as calls
from batchgen.sandbox.faults import connection_faults as files
from batchgen.sandbox.faults import json_faults as edits
from batchgen.sandbox.faults.kinds import EVERYWHERE, Call, Ending, Fault, FaultKind, On
from batchgen.sandbox.http_answer import Answer, Delivery

_JSON = EVERYWHERE - {On.FILE}
_WITH_TOKEN = _JSON
_ENDS = frozenset({On.SUBMIT, On.RESULT})
_RESULT = frozenset({On.RESULT})
_FILE = frozenset({On.FILE})
_CATALOGUE = frozenset({On.CATALOGUE})

STATUSES = FaultKind(
    spoil=calls.status,
    options=("accepted", "retry_after", "retry_after_date", "code", "body"),
    acts=False,
)
"""The row of every HTTP status, 400 to 599."""

_CONNECTIONS: Mapping[str, FaultKind] = {
    "lose-answer": FaultKind(spoil=calls.close),
    "drop": FaultKind(spoil=calls.close, acts=False),
    "reset": FaultKind(spoil=calls.reset, options=("accepted",), acts=False),
    "refuse": FaultKind(
        spoil=calls.reset, acts=False, refuses=True,
        places=frozenset({On.ANY}), selectors=("from_s", "to_s"),
    ),
    "hang": FaultKind(spoil=calls.hang, options=("accepted", "for_s")),
    "slow": FaultKind(spoil=calls.slow, options=("delay_s",)),
    "drip": FaultKind(spoil=calls.drip, options=("bytes_per_s",)),
    "chunked": FaultKind(spoil=calls.chunked, steady=True),
}  # fmt: skip

_BODIES: Mapping[str, FaultKind] = {
    "html": FaultKind(spoil=calls.html, options=("accepted",), acts=False),
    "empty": FaultKind(spoil=calls.empty, options=("accepted",), acts=False),
    "bad-json": FaultKind(spoil=calls.bad_json, places=_JSON),
    "error-code": FaultKind(
        spoil=calls.error_code, options=("accepted", "code"), places=_JSON, acts=False
    ),
    "redirect": FaultKind(
        spoil=calls.redirect, options=("accepted", "to", "http"), defaults={"http": 302}, acts=False
    ),
    "revoked": FaultKind(spoil=calls.revoked, places=_WITH_TOKEN, acts=False, steady=True),
    "no-balance": FaultKind(spoil=calls.no_balance, places=frozenset({On.SUBMIT}), acts=False),
}

_JSON_EDITS: Mapping[str, FaultKind] = {
    "no-request-id": FaultKind(
        spoil=edits.without("request_id"),
        places=frozenset({On.SUBMIT, On.STATUS, On.RESULT, On.CANCEL}),
    ),
    "no-urls": FaultKind(
        spoil=edits.without("status_url", "result_url", "cancel_url"),
        places=frozenset({On.SUBMIT, On.STATUS}), steady=True,
    ),
    "no-position": FaultKind(
        spoil=edits.without("queue_position"), places=frozenset({On.STATUS}), steady=True
    ),
    "word": FaultKind(
        spoil=edits.word, options=("word",), defaults={"word": "warming_up"},
        places=frozenset({On.STATUS, On.RESULT}),
    ),
    "outcome": FaultKind(
        spoil=edits.outcome, options=("word", "http"), acts=False,
        defaults={"word": "cancelled", "http": 202}, places=frozenset({On.CANCEL}),
    ),
    "output-string": FaultKind(spoil=edits.output_string, places=_RESULT, steady=True),
    "output-list": FaultKind(spoil=edits.output_list, places=_RESULT, steady=True),
    "output-nested": FaultKind(spoil=edits.output_nested, places=_RESULT, steady=True),
    "output-twice": FaultKind(spoil=edits.output_twice, places=_RESULT, steady=True),
    "echo-input": FaultKind(spoil=edits.echo_input, places=_RESULT, steady=True),
    "odd-times": FaultKind(spoil=edits.odd_times, places=_RESULT, steady=True),
}  # fmt: skip

_ENTRIES: Mapping[str, FaultKind] = {
    "withdrawn": FaultKind(
        spoil=edits.withdrawn, places=frozenset({On.SUBMIT, On.CATALOGUE, On.ANY}),
        acts=False, steady=True,
    ),
    "no-price": FaultKind(
        spoil=edits.entries_without("base_price_usd", "price_unit", "pricing_note"),
        places=_CATALOGUE, acts=False, steady=True,
    ),
    "price-unit": FaultKind(
        spoil=edits.price_unit, options=("unit",), places=_CATALOGUE, acts=False, steady=True
    ),
    "no-schema": FaultKind(
        spoil=edits.entries_without("input_schema"), places=_CATALOGUE, acts=False, steady=True
    ),
}  # fmt: skip

_FILES: Mapping[str, FaultKind] = {
    "truncate": FaultKind(spoil=files.truncate, places=_FILE),
    "short": FaultKind(spoil=files.short, places=_FILE),
    "wrong-type": FaultKind(spoil=files.wrong_type, options=("type",), places=_FILE),
    "no-range": FaultKind(spoil=files.no_range, places=_FILE, steady=True),
    "new-etag": FaultKind(spoil=files.new_etag, places=_FILE),
    "expired-url": FaultKind(
        spoil=files.expired_url, options=("http",), defaults={"http": 403}, places=_FILE,
        steady=True,
    ),
}  # fmt: skip

_JOBS: Mapping[str, FaultKind] = {
    "failed": FaultKind(
        options=("shape", "message", "code", "cost_usd", "word"), defaults={"word": "completed"},
        places=_ENDS, ending=Ending(fails=True),
    ),
    "no-output": FaultKind(places=_ENDS, ending=Ending()),
    "expired": FaultKind(
        options=("after_s",), places=_ENDS, ending=Ending(has_outputs=True, forgets=True)
    ),
}  # fmt: skip

FAULTS: Mapping[str, FaultKind] = {
    **_CONNECTIONS, **_BODIES, **_JSON_EDITS, **_ENTRIES, **_FILES, **_JOBS
}  # fmt: skip
"""Every other kind of fault by its name."""

_GOOD = Ending(has_outputs=True)


def row_of(do: str) -> FaultKind | None:
    """The row of a kind of fault; None where there is none."""
    if do.isascii() and do.isdigit():
        return STATUSES if 400 <= int(do) <= 599 else None
    return FAULTS.get(do)


def ending_of(fault: Fault | None) -> Ending:
    """How a job with this fate ends."""
    if fault is None:
        return _GOOD
    row = row_of(fault.do)
    return row.ending if row and row.ending else _GOOD


def spoil(fault: Fault, answer: Answer, call: Call) -> Delivery:
    """What the client gets instead of this answer."""
    row = row_of(fault.do)
    return row.spoil(fault, answer, call) if row else Delivery(answer=answer)
