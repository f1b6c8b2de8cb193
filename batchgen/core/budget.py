"""A budget that holds by reservation: spent and reserved together never exceed the limit.

The price of a job is reserved before its POST is sent, and the reported cost settles it. A job in
doubt, or one that failed without a reported cost, keeps its reservation: it may have been charged.
Amounts are USD, kept in whole millionths so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MILLIONTHS = 1_000_000


def _micro(usd: float) -> int:
    return round(usd * _MILLIONTHS)


@dataclass(slots=True)
class Budget:
    """One limit, with what was spent and what is reserved."""

    limit_usd: float
    name: str = ""
    """The period: `the run`, `today`, `this month`."""
    _spent_micro: int = 0
    _reserved_micro: dict[str, int] = field(default_factory=dict)
    _reserved_total_micro: int = 0

    def add_spent(self, usd: float) -> None:
        """Count what was spent before this run, or in another run directory."""
        self._spent_micro += _micro(usd)

    def add_reserved(self, job: str, usd: float) -> None:
        """Reserve what an earlier run reserved for a job still in flight, even beyond the limit."""
        self._reserved_micro[job] = self._reserved_micro.get(job, 0) + _micro(usd)
        self._reserved_total_micro += _micro(usd)

    @property
    def may_have_room_later(self) -> bool:
        """True if a reservation is open, which may be settled by less."""
        return bool(self._reserved_micro)

    @property
    def committed_usd(self) -> float:
        """The sum of what is spent and what is reserved."""
        return (self._spent_micro + self._reserved_total_micro) / _MILLIONTHS

    def reserve(self, job: str, usd: float) -> bool:
        """Reserve the price of a job if it fits; False, and nothing is done, if it does not."""
        committed = self._spent_micro + self._reserved_total_micro
        if committed + _micro(usd) > _micro(self.limit_usd):
            return False
        self.add_reserved(job, usd)
        return True

    def settle(self, job: str, usd: float | None) -> None:
        """Replace the reservation of a job that has ended by its reported cost.

        Without one (None) the reserved price counts as spent. A job without a reservation does not
        count in this budget.
        """
        if job not in self._reserved_micro:
            return
        reserved = self.release(job)
        self._spent_micro += reserved if usd is None else _micro(usd)

    def release(self, job: str) -> int:
        """End the reservation of a job; return the millionths that were reserved."""
        reserved = self._reserved_micro.pop(job, 0)
        self._reserved_total_micro -= reserved
        return reserved


@dataclass(slots=True)
class ColumnBudget:
    """A budget for each value of one column. Jobs count by the value that their row has."""

    column: str
    """The name of the column, as the manifest spells it."""
    limit_usd: float
    name: str = ""
    """The period."""
    _budgets: dict[str, Budget] = field(default_factory=dict)
    _budget_of_job: dict[str, Budget] = field(default_factory=dict)

    def of_value(self, value: str) -> Budget:
        """Return the budget of one value; an empty cell is a value too."""
        if value not in self._budgets:
            title = f"{self.column}={value or '(empty)'} {self.name}"
            self._budgets[value] = Budget(limit_usd=self.limit_usd, name=title)
        return self._budgets[value]

    def reserve(self, job: str, value: str, usd: float) -> Budget | None:
        """Reserve the price of a job; return the budget that has no room for it, if so."""
        budget = self.of_value(value)
        if not budget.reserve(job, usd):
            return budget
        self._budget_of_job[job] = budget
        return None

    def add_reserved(self, job: str, value: str, usd: float) -> None:
        """Reserve what an earlier run reserved for a job still in flight."""
        budget = self._budget_of_job[job] = self.of_value(value)
        budget.add_reserved(job, usd)

    def settle(self, job: str, usd: float | None) -> Budget | None:
        """Settle as a budget does; return the one that the job counted in."""
        budget = self._budget_of_job.pop(job, None)
        if budget is not None:
            budget.settle(job, usd)
        return budget

    def release(self, job: str) -> Budget | None:
        """End the reservation of a job; return the budget that it counted in."""
        budget = self._budget_of_job.pop(job, None)
        if budget is not None:
            budget.release(job)
        return budget
