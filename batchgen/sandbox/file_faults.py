"""What goes wrong with downloads."""

from __future__ import annotations

from batchgen.sandbox.answers import Answer, Delivery, gateway_error
from batchgen.sandbox.fault_kinds import Call, Fault
from batchgen.sandbox.files import remade, serve


def truncate(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """All bytes announced, half of them sent."""
    return Delivery(answer=answer, cut=True)


def short(_fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """Half of the bytes, announced as all of them."""
    return Delivery(answer=answer._replace(body=answer.body[: len(answer.body) // 2]))


def wrong_type(fault: Fault, answer: Answer, _call: Call) -> Delivery:
    """The right bytes under another Content-Type."""
    return Delivery(answer=answer._replace(content_type=fault.type))


def no_range(_fault: Fault, answer: Answer, call: Call) -> Delivery:
    """The whole file, whatever part was asked for."""
    return Delivery(answer=serve(call.file, {}) if call.file else answer)


def new_etag(_fault: Fault, answer: Answer, call: Call) -> Delivery:
    """Another file in the place of this one, with an ETag of its own."""
    return Delivery(answer=serve(remade(call.file), call.headers) if call.file else answer)


def expired_url(fault: Fault, answer: Answer, call: Call) -> Delivery:
    """The address is dead, until the result tells a fresh one."""
    if call.fresh:
        return Delivery(answer=answer)
    return Delivery(answer=gateway_error(fault.http), kills_link=True)
