"""Budgets: reserved before each POST, settled by what the API reports."""

from __future__ import annotations

from collections import Counter

import pytest

from batchgen.core.api_answers import (
    Doubt,
)
from batchgen.core.budget import Budget
from batchgen.core.events import JobError
from batchgen.core.stop_reasons import StopReason
from batchgen.runner.spending import Spending
from batchgen.runner.stopping import Limits
from tests.kit.fakes import MemoryAPI
from tests.runner.world import RunnerWorld, many

LOST = Doubt(error=JobError(kind="lost_answer", message="bad gateway", http_status=502))


def spending(limit_usd: float, price_usd: float = 0.05) -> Spending:
    """A budget for the run."""
    budget = Budget(limit_usd=limit_usd, name="this run")
    return Spending(budgets=(budget,), price_of=lambda _: price_usd)


@pytest.mark.parametrize("cap", [1, 4, 32])
def test_a_budget_is_never_passed(cap: int) -> None:
    """Reserved before each POST; the jobs that do not fit stay pending."""
    world = RunnerWorld(limits=Limits(concurrency=cap), spending=spending(0.50))

    outcome = world.run(many(100))

    spent_usd = sum(record.cost_usd or 0 for record in world.ledger.known.values())
    assert outcome.reasons == (StopReason.BUDGET,)
    assert spent_usd <= 0.50
    # The API reports 0.03, and 0.05 was expected: what is settled makes room again.
    assert Counter(world.ledger.states().values()) == {"downloaded": 16}


def test_a_doubt_keeps_its_reservation() -> None:
    """It may have been charged."""
    world = RunnerWorld(
        api=MemoryAPI(on_submit=lambda v, n: LOST if v["prompt"] == "prompt 3" else None),
        limits=Limits(concurrency=1),
        spending=spending(0.30, price_usd=0.03),
    )

    world.run(many(50))

    assert Counter(world.ledger.states().values()) == {"downloaded": 9, "in_doubt": 1}


def test_the_highest_cost_seen_becomes_the_price() -> None:
    """If jobs cost more than the catalogue says, the estimate follows."""
    world = RunnerWorld(limits=Limits(concurrency=1), spending=spending(0.10, price_usd=0.01))

    outcome = world.run(many(50))

    assert outcome.reasons == (StopReason.BUDGET,)
    assert sum(record.cost_usd or 0 for record in world.ledger.known.values()) <= 0.10
