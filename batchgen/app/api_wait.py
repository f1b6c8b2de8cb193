"""The wait at the start for an API that cannot be reached, and what to do if that fails.

Its time is that of `--wait-for-api`, from the first question to the catalogue on. It asks a free
question, so nothing is in doubt when the time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from batchgen.core.api_answers import NoReply
from batchgen.core.throttle import Backoff
from batchgen.ports import Clock

if TYPE_CHECKING:
    from batchgen.api.client import ModelAPI

MAX_PAUSE_S = 5.0
LOOK_S = 0.2
"""How often the wait looks whether the run was stopped."""
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_CERTIFICATE_WORDS = ("certificate", "sslerror", "tls", "[ssl")
_NAME_WORDS = ("name or service", "name resolution", "nodename", "getaddrinfo", "dns")


async def wait_for_api(
    api: ModelAPI,
    model: str,
    *,
    left_s: float,
    why: str,
    clock: Clock,
    is_stopped: Callable[[], bool],
) -> str:
    """Ask until anything answers; return why nothing did in time, empty if something did.

    `why` is what is known so far. A run that is stopped waits no longer.
    """
    seen = [why]
    asking = asyncio.create_task(_ask(api, model, clock, seen))
    ends_at_s = clock.monotonic_s() + left_s
    while not (asking.done() or is_stopped()):
        now_left_s = ends_at_s - clock.monotonic_s()
        if now_left_s <= 0:
            break
        await asyncio.wait({asking}, timeout=min(LOOK_S, now_left_s))
    if asking.done() or is_stopped():
        await _end(asking)
        return ""
    await _end(asking)
    return seen[-1]


async def _ask(api: ModelAPI, model: str, clock: Clock, seen: list[str]) -> None:
    """Ask until anything answers; `seen` gets the reasons why nothing did."""
    backoff = Backoff(max_s=MAX_PAUSE_S)
    while isinstance(answer := await api.model(model), NoReply):
        seen.append(answer.message)
        await clock.sleep(backoff.delay_s(len(seen), jitter=0.5))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def unreachable_text(origin: str, why: str, environment: Mapping[str, str]) -> str:
    """Say why an API could not be reached, and what to do about it."""
    text = f"{origin} could not be reached"
    low = why.lower()
    if why:
        text += f": {why}"
    proxy = next((name for name in _PROXIES if environment.get(name)), None)
    if any(word in low for word in _CERTIFICATE_WORDS):
        text += (
            ". Its certificate is not trusted on this machine; a company's proxy may put its own in"
            " place of it: set SSL_CERT_FILE to a PEM file with the company's root certificate"
        )
    elif any(word in low for word in _NAME_WORDS):
        text += ". Its name could not be looked up: check the network and the name server"
    if proxy:
        text += (
            f". {proxy} is set, but batchgen uses no proxy and connects directly: ask for direct"
            " access to this host, or run where there is some"
        )
    return text
