"""A runner with everything around it in memory, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.core.jobs import Job
from batchgen.core.plan import Policy
from batchgen.core.stop_reasons import StopReason
from batchgen.runner.runner import Outcome, Runner
from batchgen.runner.spending import Spending
from batchgen.runner.stopping import Limits
from tests.kit.fakes import Jobs, MemoryAPI, MemoryLedger, MemoryStore, Notes, job
from tests.kit.time import LoopClock, leap


@dataclass
class RunnerWorld:
    """A runner with everything around it in memory."""

    api: MemoryAPI = field(default_factory=MemoryAPI)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    store: MemoryStore = field(default_factory=MemoryStore)
    notes: Notes = field(default_factory=Notes)
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    spending: Spending | None = None
    seed: int = 7
    took_s: float = 0.0

    def run(self, jobs: list[Job], during: Callable[[Runner], None] | None = None) -> Outcome:
        """Run once in virtual time; `during` may set up something at the beginning."""
        return leap(self.run_in_loop(jobs, during))

    async def run_in_loop(
        self, jobs: list[Job], during: Callable[[Runner], None] | None = None
    ) -> Outcome:
        runner = Runner(
            api=self.api, ledger=self.ledger, outputs=self.store, clock=LoopClock(),
            observer=self.notes, policy=self.policy, limits=self.limits,
            rng=random.Random(self.seed), spending=self.spending,
        )  # fmt: skip
        if during:
            during(runner)
        began_s = asyncio.get_running_loop().time()
        outcome = await runner.run(Jobs(jobs))
        self.took_s = asyncio.get_running_loop().time() - began_s
        return outcome


def many(count: int) -> list[Job]:
    """Jobs with prompts of their own."""
    return [job(f"j{n}", f"prompt {n}") for n in range(count)]


def now_s() -> float:
    """Virtual time."""
    return asyncio.get_running_loop().time()


def interrupt_after(
    delay_s: float, reason: StopReason = StopReason.SIGINT
) -> Callable[[Runner], None]:
    """Ask the runner to stop after so many seconds, as a signal does."""
    return lambda runner: (
        asyncio.get_running_loop().call_later(delay_s, runner.stop.request, reason) and None
    )
