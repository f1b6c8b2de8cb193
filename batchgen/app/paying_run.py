"""The part of a run that pays: what comes before it, the runner, and what is remembered."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.app.api_wait import wait_for_api
from batchgen.app.storage_host import require_public_storage
from batchgen.core.jobs import Batch
from batchgen.core.plan import Plan
from batchgen.core.stop_reasons import StopReason
from batchgen.runner.runner import Outcome, Runner

if TYPE_CHECKING:
    from batchgen.app.build_runner import RunnerParts
    from batchgen.app.known_ledgers import KnownLedgers
    from batchgen.app.run_directories import RunDirectories


@dataclass(frozen=True, slots=True, kw_only=True)
class PayingRun:
    """One run of the runner, once everything is planned."""

    parts: RunnerParts
    directories: RunDirectories
    known_ledgers: KnownLedgers
    away: str
    """Why the catalogue, which is asked first, gave no answer; empty if it did."""
    silent_s: float
    """How long it gave none."""

    async def run(
        self, built: AbstractAsyncContextManager[Runner], selected: Batch, plan: Plan
    ) -> Outcome:
        """Submit, poll and download until nothing is left or a reason to stop arrives.

        Raises `TokenMissing`, or `ServiceUnreachable` if outputs could never be downloaded here.
        """
        parts, known = self.parts, self.known_ledgers
        parts.remote.token()  # a missing one is reported before anything about the network
        if plan.submissions and not parts.settings.no_download:
            await require_public_storage(parts.remote, parts.context)
        was_known = known.knows(self.directories)
        async with built as runner:
            if silence := await self._wait_for_api(runner):
                return Outcome(reasons=(StopReason.UNREACHABLE,), silence=silence)
            known.remember(self.directories, parts.remote.base.origin)  # before anything is paid
            outcome = await runner.run(selected)
        if not was_known:
            known.forget_if_unpaid(self.directories, parts.ledger)
        return outcome

    async def _wait_for_api(self, runner: Runner) -> str:
        """Return why the API could not be reached in the time that is left for that, or "".

        Only a catalogue that gave no answer is a reason to ask before anything is submitted.
        """
        parts = self.parts
        model = next(iter(parts.loaded.models), None)
        if not self.away or model is None or parts.remote.sandbox_token is not None:
            return ""
        async with parts.remote.client() as api:
            return await wait_for_api(
                api, model, left_s=parts.settings.wait_for_api_s - self.silent_s, why=self.away,
                clock=parts.context.clock, is_stopped=lambda: runner.stop.no_submissions,
            )  # fmt: skip
