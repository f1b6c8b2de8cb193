"""The way to the API: token, reachability, clock, balance, and the host of its outputs.

One free call of the catalogue, and one of the balance. Nothing is spent, and no token is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from batchgen.api.client import Probe
from batchgen.app.api_wait import unreachable_text
from batchgen.app.paying_run import require_public_storage
from batchgen.app.remote import Remote
from batchgen.core.errors import ServiceUnreachable, TokenMissing
from batchgen.core.secret import Secret
from batchgen.core.units import duration_text
from batchgen.doctor.finding import Finding, faults, note, ok, warning
from batchgen.system.environment import token_with_source

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext

MODEL = "bytedance/dreamina-4-0/text-to-image"
"""Without a manifest, the examination asks the API about this model."""
ANSWER_S = 15.0
WRONG_CLOCK_S = 120.0
_NO_TOKEN = Secret("there-is-no-token")
"""Sent if there is none, to see whether anything answers."""
_GET_TOKEN = "get a token at runcomfy.com (profile) and set RUNCOMFY_TOKEN"  # noqa: S105


def check_api(context: CommandContext, model: str = MODEL) -> Iterator[Finding]:
    """Yield what keeps a run from the API, in the order in which a run would meet it.

    Raises `UsageError` for an address that is not valid.
    """
    base, token, source = context.api, None, ""
    try:
        token, source = token_with_source(context.environment)
    except TokenMissing as error:
        yield from faults("token", error, _GET_TOKEN)
    yield from _storage_host(context)
    probe, balance_usd = asyncio.run(_ask(context, token, model))
    if probe.why:
        text = unreachable_text(base.origin, probe.why, context.environment)
        unreached = ServiceUnreachable(text)
        yield from faults(
            "API", unreached, "check the network; batchgen run waits for 20 s by itself"
        )
        return
    yield ok("API", f"{base.origin} answers")
    yield from _clock(probe, context.clock.now_s())
    if token is None:
        return
    if probe.accepts_token is None:
        yield warning(
            "token", f"{base.origin} answered HTTP {probe.http_status}, so the token from {source}"
            " could not be tried", "try again in some minutes",
        )  # fmt: skip
    elif not probe.accepts_token:
        rejected = TokenMissing(f"the API rejected the token from {source}")
        yield from faults("token", rejected, _GET_TOKEN)
    else:
        yield ok("token", f"the API accepts the token from {source}")
    yield from _balance(balance_usd)


def _storage_host(context: CommandContext) -> Iterator[Finding]:
    remote = Remote(base=context.api, context=context)
    try:
        unknown = asyncio.run(require_public_storage(remote, context))
    except ServiceUnreachable as error:
        yield from faults("storage host", error, "correct how this machine looks up its name")
        return
    if unknown:
        yield warning("storage host", unknown, "check the network and the name server")


async def _ask(
    context: CommandContext, token: Secret | None, model: str
) -> tuple[Probe, float | None]:
    async with context.client(context.api, token or _NO_TOKEN) as api:
        try:
            async with asyncio.timeout(ANSWER_S):
                probe = await api.probe(model)
                return probe, await api.balance_usd() if token is not None else None
        except TimeoutError:
            return Probe(why=f"no answer within {ANSWER_S:g} s"), None


def _clock(probe: Probe, now_s: float) -> Iterator[Finding]:
    """Compare the clock of this machine with that of the API."""
    if probe.now_s is None:
        yield note("clock", "the API does not say what time it is, so the clock was not compared")
        return
    wrong_s = now_s - probe.now_s
    if abs(wrong_s) <= WRONG_CLOCK_S:
        yield ok("clock", "agrees with that of the API")
        return
    how = f"{duration_text(float(round(abs(wrong_s))))} {'fast' if wrong_s > 0 else 'slow'}"
    yield warning(
        "clock", f"the clock of this machine is {how}: budgets of a day or month end at the wrong"
        " moment, and addresses of local files may have expired when the API fetches them",
        "set the clock, and keep it right (timedatectl set-ntp true; on macOS: sntp -sS"
        " time.apple.com)",
    )  # fmt: skip


def _balance(balance_usd: float | None) -> Iterator[Finding]:
    if balance_usd is None:
        return
    if balance_usd > 0:
        yield ok("balance", f"${balance_usd:,.2f}")
    else:
        yield warning(
            "balance", f"the balance is ${balance_usd:,.2f}: nothing would be accepted",
            "add balance at runcomfy.com",
        )  # fmt: skip
