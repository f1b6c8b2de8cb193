"""Prices and budgets: what a run may spend, and what each submission reserves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.core.budget import Budget
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord


@dataclass(slots=True, kw_only=True)
class Spending:
    """Reserves before each POST and settles after the job; without budgets it reserves nothing."""

    budgets: tuple[Budget, ...] = ()
    price_of: Callable[[Job], float | None] = lambda _: None
    """Expected cost of one job in USD; None if it is not known."""
    highest_usd: dict[str, float] = field(default_factory=dict)
    """By model: the highest cost that the API ever reported, in earlier runs too."""

    def price_usd(self, job: Job) -> float | None:
        """Return what to reserve: the catalogue's price, or the highest cost seen if higher."""
        known = (self.price_of(job), self.highest_usd.get(job.model))
        return max((usd for usd in known if usd is not None), default=None)

    def reserve(self, job: Job) -> Budget | None:
        """Reserve the price in every budget; return the budget that has no room for it, if any."""
        price_usd = self.price_usd(job) or 0.0
        for number, budget in enumerate(self.budgets):
            if not budget.reserve(job.id, price_usd):
                for reserved in self.budgets[:number]:
                    reserved.release(job.id)
                return budget
        return None

    def release(self, job: str) -> None:
        """Give back what was reserved: nothing was accepted."""
        for budget in self.budgets:
            budget.release(job)

    def settle(self, record: JobRecord, model: str | None) -> None:
        """Count the job's cost as spent; without a reported cost, what was reserved for it."""
        model = record.model or model
        if model is not None and record.cost_usd is not None:
            self.highest_usd[model] = max(self.highest_usd.get(model, 0.0), record.cost_usd)
        for budget in self.budgets:
            budget.settle(record.job, record.cost_usd)
