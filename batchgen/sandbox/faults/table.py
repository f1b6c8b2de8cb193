"""What can go wrong, one row each: on which calls, with which options, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.sandbox.faults import connection_faults as calls
from batchgen.sandbox.faults import connection_faults as files
from batchgen.sandbox.faults import json_faults as edits
from batchgen.sandbox.faults.kinds import EVERYWHERE, Call, Ending, Fault, On, Row
from batchgen.sandbox.http_answer import Answer, Delivery

_JSON = EVERYWHERE - {On.FILE}
_WITH_TOKEN = _JSON
_ENDS = frozenset({On.SUBMIT, On.RESULT})
_RESULT = frozenset({On.RESULT})
_FILE = frozenset({On.FILE})
_CATALOGUE = frozenset({On.CATALOGUE})

STATUSES = Row(
    spoil=calls.status,
    options=("accepted", "retry_after", "retry_after_date", "code", "body"),
    acts=False,
)
"""The row of every HTTP status, 400 to 599."""

_CONNECTIONS: Mapping[str, Row] = {
    "lose-answer": Row(spoil=calls.close),
    "drop": Row(spoil=calls.close, acts=False),
    "reset": Row(spoil=calls.reset, options=("accepted",), acts=False),
    "refuse": Row(
        spoil=calls.reset, acts=False, refuses=True,
        places=frozenset({On.ANY}), selectors=("from_s", "to_s"),
    ),
    "hang": Row(spoil=calls.hang, options=("accepted", "for_s")),
    "slow": Row(spoil=calls.slow, options=("delay_s",)),
    "drip": Row(spoil=calls.drip, options=("bytes_per_s",)),
    "chunked": Row(spoil=calls.chunked, steady=True),
}  # fmt: skip

_BODIES: Mapping[str, Row] = {
    "html": Row(spoil=calls.html, options=("accepted",), acts=False),
    "empty": Row(spoil=calls.empty, options=("accepted",), acts=False),
    "bad-json": Row(spoil=calls.bad_json, places=_JSON),
    "error-code": Row(
        spoil=calls.error_code, options=("accepted", "code"), places=_JSON, acts=False
    ),
    "redirect": Row(
        spoil=calls.redirect, options=("accepted", "to", "http"), defaults={"http": 302}, acts=False
    ),
    "revoked": Row(spoil=calls.revoked, places=_WITH_TOKEN, acts=False, steady=True),
    "no-balance": Row(spoil=calls.no_balance, places=frozenset({On.SUBMIT}), acts=False),
}

_JSON_EDITS: Mapping[str, Row] = {
    "no-request-id": Row(
        spoil=edits.without("request_id"),
        places=frozenset({On.SUBMIT, On.STATUS, On.RESULT, On.CANCEL}),
    ),
    "no-urls": Row(
        spoil=edits.without("status_url", "result_url", "cancel_url"),
        places=frozenset({On.SUBMIT, On.STATUS}), steady=True,
    ),
    "no-position": Row(
        spoil=edits.without("queue_position"), places=frozenset({On.STATUS}), steady=True
    ),
    "word": Row(
        spoil=edits.word, options=("word",), defaults={"word": "warming_up"},
        places=frozenset({On.STATUS, On.RESULT}),
    ),
    "outcome": Row(
        spoil=edits.outcome, options=("word", "http"), acts=False,
        defaults={"word": "cancelled", "http": 202}, places=frozenset({On.CANCEL}),
    ),
    "output-string": Row(spoil=edits.output_string, places=_RESULT, steady=True),
    "output-list": Row(spoil=edits.output_list, places=_RESULT, steady=True),
    "output-nested": Row(spoil=edits.output_nested, places=_RESULT, steady=True),
    "output-twice": Row(spoil=edits.output_twice, places=_RESULT, steady=True),
    "echo-input": Row(spoil=edits.echo_input, places=_RESULT, steady=True),
    "odd-times": Row(spoil=edits.odd_times, places=_RESULT, steady=True),
}  # fmt: skip

_ENTRIES: Mapping[str, Row] = {
    "withdrawn": Row(
        spoil=edits.withdrawn, places=frozenset({On.SUBMIT, On.CATALOGUE, On.ANY}),
        acts=False, steady=True,
    ),
    "no-price": Row(
        spoil=edits.entries_without("base_price_usd", "price_unit", "pricing_note"),
        places=_CATALOGUE, acts=False, steady=True,
    ),
    "price-unit": Row(
        spoil=edits.price_unit, options=("unit",), places=_CATALOGUE, acts=False, steady=True
    ),
    "no-schema": Row(
        spoil=edits.entries_without("input_schema"), places=_CATALOGUE, acts=False, steady=True
    ),
}  # fmt: skip

_FILES: Mapping[str, Row] = {
    "truncate": Row(spoil=files.truncate, places=_FILE),
    "short": Row(spoil=files.short, places=_FILE),
    "wrong-type": Row(spoil=files.wrong_type, options=("type",), places=_FILE),
    "no-range": Row(spoil=files.no_range, places=_FILE, steady=True),
    "new-etag": Row(spoil=files.new_etag, places=_FILE),
    "expired-url": Row(
        spoil=files.expired_url, options=("http",), defaults={"http": 403}, places=_FILE,
        steady=True,
    ),
}  # fmt: skip

_JOBS: Mapping[str, Row] = {
    "failed": Row(
        options=("shape", "message", "code", "cost_usd", "word"), defaults={"word": "completed"},
        places=_ENDS, ending=Ending(fails=True),
    ),
    "no-output": Row(places=_ENDS, ending=Ending()),
    "expired": Row(
        options=("after_s",), places=_ENDS, ending=Ending(has_outputs=True, forgets=True)
    ),
}  # fmt: skip

FAULTS: Mapping[str, Row] = {
    **_CONNECTIONS, **_BODIES, **_JSON_EDITS, **_ENTRIES, **_FILES, **_JOBS
}  # fmt: skip
"""Every other kind of fault by its name."""

_GOOD = Ending(has_outputs=True)


def row_of(do: str) -> Row | None:
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
