"""A hard budget by reservation: what was spent and what may still be charged never pass it.

Each submission reserves the price of a job before it leaves. The reported cost settles it. What
is in doubt, and what failed without saying what it cost, keeps its reservation: it may have been
charged. Amounts are USD, kept in whole millionths so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchgen.core.lifecycle import JobRecord

_MILLIONTHS = 1_000_000


def _micro(usd: float) -> int:
    return round(usd * _MILLIONTHS)


def charged_usd(record: JobRecord) -> float:
    """What a job has cost or may still cost, all its attempts together.

    Reported costs; for an attempt that reported none, the price that was reserved for it, unless
    it is certain that nothing was accepted.
    """
    return record.total_cost_usd + record.earlier_price_usd + record.open_price_usd


@dataclass(slots=True)
class Budget:
    """One limit, for a run, a day or a month."""

    limit_usd: float
    name: str = ""
    """`the run`, `today`, `this month`."""
    _spent_micro: int = 0
    _reserved_micro: dict[str, int] = field(default_factory=dict)
    _reserved_total_micro: int = 0

    def add_spent(self, usd: float) -> None:
        """What was spent before, or by others."""
        self._spent_micro += _micro(usd)

    def add_reserved(self, job: str, usd: float) -> None:
        """What an earlier run set aside for a job that is still in flight; fits or not."""
        self._reserved_micro[job] = self._reserved_micro.get(job, 0) + _micro(usd)
        self._reserved_total_micro += _micro(usd)

    @property
    def committed_usd(self) -> float:
        """Spent and reserved together."""
        return (self._spent_micro + self._reserved_total_micro) / _MILLIONTHS

    def reserve(self, job: str, usd: float) -> bool:
        """Set the price of a job aside; False, and nothing done, where it does not fit."""
        wanted = _micro(usd)
        committed = self._spent_micro + self._reserved_total_micro
        if committed + wanted > _micro(self.limit_usd):
            return False
        self._reserved_micro[job] = self._reserved_micro.get(job, 0) + wanted
        self._reserved_total_micro += wanted
        return True

    def settle(self, job: str, usd: float | None) -> None:
        """The job is over: what it reported replaces the reservation, which otherwise stays.

        A job for which nothing was set aside is not this budget's.
        """
        if job not in self._reserved_micro:
            return
        reserved = self.release(job)
        self._spent_micro += reserved if usd is None else _micro(usd)

    def release(self, job: str) -> int:
        """Nothing was accepted; the millionths that were set aside."""
        reserved = self._reserved_micro.pop(job, 0)
        self._reserved_total_micro -= reserved
        return reserved
