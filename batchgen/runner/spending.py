"""Prices and budgets: what a run may spend, and what each submission reserves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from batchgen.core.budget import Budget, ColumnBudget
from batchgen.core.canonical_input import canonical_text
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord

PARKED_LIMIT = 2_000
"""Jobs of one value that wait for room in its budget; the others are left for a later run."""


@dataclass(slots=True, kw_only=True)
class Spending:
    """Reserves before each POST and settles after the job; without budgets it reserves nothing."""

    budgets: tuple[Budget, ...] = ()
    column_budgets: tuple[ColumnBudget, ...] = ()
    price_of: Callable[[Job], float | None] = lambda _: None
    """Expected cost of one job in USD; None if it is not known."""
    highest_usd: dict[str, float] = field(default_factory=dict)
    """By model: the highest cost that the API ever reported, in earlier runs too."""
    on_room: Callable[[Job], None] = lambda _: None
    """Gives a job another turn that waited for room in the budget of its value."""
    _parked: dict[str, deque[Job]] = field(default_factory=dict)
    """By the name of the budget."""

    def price_usd(self, job: Job) -> float | None:
        """Return what to reserve: the catalogue's price, or the highest cost seen if higher."""
        known = (self.price_of(job), self.highest_usd.get(job.model))
        return max((usd for usd in known if usd is not None), default=None)

    def labels(self, job: Job) -> dict[str, str]:
        """Return the values of the columns that have budgets, by column."""
        return {one.column: column_value(job, one.column) for one in self.column_budgets}

    def reserve(self, job: Job) -> Budget | None:
        """Reserve the price in every budget; return the budget that has no room for it, if any."""
        price_usd = self.price_usd(job) or 0.0
        full = self._reserve(job, price_usd)
        if full is not None:
            self._release(job.id)
        for one in self.column_budgets if full is None else ():
            self._give_turn(one.of_value(column_value(job, one.column)))
        return full

    def _reserve(self, job: Job, price_usd: float) -> Budget | None:
        for budget in self.budgets:
            if not budget.reserve(job.id, price_usd):
                return budget
        for one in self.column_budgets:
            value = column_value(job, one.column)
            if (full := one.reserve(job.id, value, price_usd)) is not None:
                return full
        return None

    def is_of_value(self, budget: Budget) -> bool:
        """Tell whether a budget is that of one value of a column: the others continue then."""
        return not any(budget is one for one in self.budgets)

    def park(self, job: Job, full: Budget) -> bool:
        """Let a job wait for room in the budget of its value; False if there can be none.

        Then the job is left for a later run, and the next one that waits has its turn.
        """
        parked = self._parked.setdefault(full.name, deque())
        if full.may_have_room_later and len(parked) < PARKED_LIMIT:
            parked.append(job)
            return True
        if not full.may_have_room_later:
            self._give_turn(full)
        return False

    def _give_turn(self, budget: Budget) -> None:
        parked = self._parked.get(budget.name)
        if parked:
            self.on_room(parked.popleft())

    def release(self, job: str) -> None:
        """Give back what was reserved: nothing was accepted."""
        for budget in self._release(job):
            self._give_turn(budget)

    def _release(self, job: str) -> Iterable[Budget]:
        for budget in self.budgets:
            budget.release(job)
        freed = (one.release(job) for one in self.column_budgets)
        return [budget for budget in freed if budget is not None]

    def settle(self, record: JobRecord, model: str | None) -> None:
        """Count the job's cost as spent; without a reported cost, what was reserved for it."""
        model = record.model or model
        if model is not None and record.cost_usd is not None:
            self.highest_usd[model] = max(self.highest_usd.get(model, 0.0), record.cost_usd)
        for budget in self.budgets:
            budget.settle(record.job, record.cost_usd)
        for one in self.column_budgets:
            settled = one.settle(record.job, record.cost_usd)
            if settled is not None:
                self._give_turn(settled)


def column_value(job: Job, column: str) -> str:
    """Return what a row has in a column, whose case does not matter; empty if it has nothing."""
    if column in job.columns:
        return canonical_text(job.columns[column])
    wanted = column.casefold()
    found = (cell for name, cell in job.columns.items() if name.strip().casefold() == wanted)
    return canonical_text(next(found, ""))
