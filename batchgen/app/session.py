"""The world of one run: the API (or its stand-in), the signals, and what ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchgen import settings
from batchgen.core.endings import EFFECTS, StopReason
from batchgen.core.models import ModelEntry
from batchgen.core.origin import ApiBase, parse_base_url
from batchgen.core.secret import Secret
from batchgen.runner import Runner

SANDBOX_JOURNAL = "sandbox.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """An API and, where a call was found to be needed, the token for it."""

    base: ApiBase
    known_token: Secret | None = None

    def token(self) -> Secret:
        """Raises `TokenMissing`."""
        return self.known_token or settings.token()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A stand-in in this process.

    It keeps its jobs in the run directory, which must be there: a stand-in that forgot its jobs
    with its process would make every resumed rehearsal fail.
    """

    run_dir: Path
    entries: tuple[ModelEntry, ...] = ()
    """The models that the batch uses, as far as they are known."""


@asynccontextmanager
async def remote(base_url: str | None, rehearsal: Rehearsal | None = None) -> AsyncIterator[Remote]:
    """The API of this run, or its stand-in."""
    if rehearsal is None:
        yield Remote(base=settings.api_base(base_url))
        return
    from batchgen.sandbox import Sandbox, SandboxConfig

    journal = rehearsal.run_dir / SANDBOX_JOURNAL
    async with Sandbox(SandboxConfig(journal=journal, models=rehearsal.entries)) as sandbox:
        yield Remote(base=parse_base_url(sandbox.base_url), known_token=Secret(sandbox.token))


@contextmanager
def signals_stop(runner: Runner) -> Iterator[None]:
    """The first signal asks the runner to stop, the second ends the process at once.

    Ending at once is safe: the ledger is valid after every write.
    """
    loop = asyncio.get_running_loop()
    reasons = {signal.SIGINT: StopReason.SIGINT, signal.SIGTERM: StopReason.SIGTERM}

    def on_signal(number: signal.Signals) -> None:
        if any(reason in reasons.values() for reason in runner.stop.reasons):
            os._exit(EFFECTS[reasons[number]].exit_code)
        runner.stop.request(reasons[number])

    for number in reasons:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in reasons:
            loop.remove_signal_handler(number)
