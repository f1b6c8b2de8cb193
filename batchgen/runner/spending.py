"""What a run may spend: prices, and the budgets that each submission has to fit into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchgen.core.budget import Budget
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord


class SpendingGuard:
    """Reserves before a POST and settles after the job; knows what jobs of a model really cost."""

    def __init__(
        self,
        budgets: Sequence[Budget] = (),
        price_of: Callable[[Job], float | None] = lambda _: None,
    ) -> None:
        self._budgets = budgets
        self._price_of = price_of
        self._highest_usd: dict[str, float] = {}

    def price_usd(self, job: Job) -> float | None:
        """What to set aside: the catalogue's price, or the highest cost seen if higher."""
        price_usd = self._price_of(job)
        highest_usd = self._highest_usd.get(job.model)
        if price_usd is None or highest_usd is None:
            return price_usd if highest_usd is None else highest_usd
        return max(price_usd, highest_usd)

    def reserve(self, job: Job) -> Budget | None:
        """Set the price aside in every budget; the one that it does not fit into, if any."""
        price_usd = self.price_usd(job) or 0.0
        for number, budget in enumerate(self._budgets):
            if not budget.reserve(job.id, price_usd):
                for reserved in self._budgets[:number]:
                    reserved.release(job.id)
                return budget
        return None

    def release(self, job: str) -> None:
        """Nothing was accepted."""
        for budget in self._budgets:
            budget.release(job)

    def settle(self, record: JobRecord, model: str | None) -> None:
        """The job is over, or in doubt: its cost, or what was set aside for it, is spent."""
        if model is not None and record.cost_usd is not None:
            self._highest_usd[model] = max(self._highest_usd.get(model, 0.0), record.cost_usd)
        for budget in self._budgets:
            budget.settle(record.job, record.cost_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Prices and budgets; without any, nothing is reserved."""

    budgets: tuple[Budget, ...] = ()
    price_of: Callable[[Job], float | None] = lambda _: None
    """What one job is expected to cost in USD; None where nobody knows."""
