"""Budgets of one run: what was spent before in this batch, today and this month, and the prices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from batchgen.core.budget import Budget, charged_usd
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord
from batchgen.core.moments import local_date, seconds
from batchgen.core.money import Allowance, Period
from batchgen.ledger import LEDGER_NAME, replay
from batchgen.runner import Spending

PriceOf = Callable[[Job], float | None]


def spending(
    allowances: Sequence[Allowance],
    *,
    own: Iterable[JobRecord],
    others: Sequence[Path],
    today: str,
    price_of: PriceOf,
) -> Spending:
    """Budgets with what is spent already. `others` are the other run directories of the series."""
    budgets = tuple(Budget(limit_usd=one.usd, name=one.name) for one in allowances)
    for allowance, budget in zip(allowances, budgets, strict=True):
        for record in own:
            if _counts(record, allowance.period, today):
                _charge(budget, record)
        if allowance.period is not Period.RUN:
            for record in _records_of(others):
                if _counts(record, allowance.period, today):
                    budget.add_spent(charged_usd(record))
    return Spending(budgets=budgets, price_of=price_of)


def _charge(budget: Budget, record: JobRecord) -> None:
    """A job in flight is settled by this run, so its price is reserved and not yet spent."""
    open_usd = record.open_price_usd if record.state in IN_FLIGHT else 0.0
    budget.add_spent(charged_usd(record) - open_usd)
    if record.state in IN_FLIGHT:
        budget.add_reserved(record.job, open_usd)


def _counts(record: JobRecord, period: Period, today: str) -> bool:
    if period is Period.RUN:
        return True
    submitted_s = seconds(record.submitted_at)
    if submitted_s is None:
        return False
    length = 10 if period is Period.DAY else 7
    return local_date(submitted_s)[:length] == today[:length]


def _records_of(directories: Sequence[Path]) -> Iterable[JobRecord]:
    for directory in directories:
        yield from replay(directory / LEDGER_NAME).memory.records()


def require_prices(jobs: Iterable[Job], price_of: PriceOf, *, manifest: str) -> None:
    """Raises `ManifestError` where a job has no price: a budget could not be kept."""
    unknown = dict.fromkeys(job.model for job in jobs if price_of(job) is None)
    if unknown:
        what = (
            f"no price is known for {', '.join(unknown)}; a budget cannot be kept without one."
            " Say what a job costs with --assume-price USD"
        )
        raise ManifestError([Problem(where=manifest, what=what)])
