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


@asynccontextmanager
async def remote(base_url: str | None, *, sandbox_dir: Path | None) -> AsyncIterator[Remote]:
    """The API of this run; with `sandbox_dir` a stand-in in this process.

    It keeps its jobs in that directory, which must be there: a stand-in that
    forgot its jobs with its process would make every resumed rehearsal fail.
    """
    if sandbox_dir is None:
        yield Remote(base=settings.api_base(base_url))
        return
    from batchgen.sandbox import Sandbox, SandboxConfig

    async with Sandbox(SandboxConfig(journal=sandbox_dir / SANDBOX_JOURNAL)) as sandbox:
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
