"""Prices of jobs, the cost of a plan in words, and the budgets of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import from_a_thread
from batchgen.app.remote import Remote, sandbox_in_process
from batchgen.core.api_base import DEFAULT_BASE_URL
from batchgen.core.budget import Budget, ColumnBudget
from batchgen.core.charges import Charge
from batchgen.core.errors import ManifestError, Problem, TokenMissing
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.core.run_limits import Allowance, ColumnAllowance, Period
from batchgen.core.spreadsheet import column_named
from batchgen.core.units import local_date, seconds
from batchgen.ledger.replay import replay
from batchgen.models.registry import ModelRegistry
from batchgen.runner.spending import Spending, column_value

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.core.jobs import Job
    from batchgen.core.plan import Plan
    from batchgen.core.run_settings import RunSettings
    from batchgen.ledger.run_ledger import RunLedger
    from batchgen.system.run_directory import RunDirectory

NOT_IN_SANDBOX = NoCatalogueEntry(why="the sandbox does not have it", reached=True)

_RUN = Period.RUN

PriceOf: TypeAlias = "Callable[[Job], float | None]"


def price_of(models: ModelRegistry, settings: RunSettings) -> PriceOf:
    """Return a function: the catalogue's estimate for a job, else `--assume-price`, else None."""

    def price(job: Job) -> float | None:
        estimate_usd = models.estimate_usd(job.model, job.input)
        return settings.assume_price_usd if estimate_usd is None else estimate_usd

    return price


async def sandbox_prices(remote: Remote, models: Iterable[str]) -> ModelRegistry:
    """Return the prices of the sandbox in this process, which is asked on this very loop."""
    async with remote.client() as api:
        answers = [await api.model(model) for model in models]
    entries = {one.model_id: one for one in answers if isinstance(one, ModelEntry)}
    return ModelRegistry(packaged=entries, ask=lambda model: entries.get(model, NOT_IN_SANDBOX))


async def prices_of_new_sandbox(
    context: CommandContext, entries: Sequence[ModelEntry], models: Iterable[str]
) -> ModelRegistry:
    """Return the prices that a sandbox run would have, from a sandbox that keeps nothing."""
    async with sandbox_in_process(context, None, entries) as remote:
        return await sandbox_prices(remote, models)


def balance_sentence(ref: BatchRef, plan: Plan, context: CommandContext) -> str:
    """Say whether the balance is enough; empty if there is no balance to ask for."""
    base = context.api
    if base.url != DEFAULT_BASE_URL or ref.sandbox or not plan.submissions:
        return ""
    try:
        token = context.token()
    except TokenMissing:
        return ""

    async def ask() -> float | None:
        async with context.client(base, token) as api:
            return await api.balance_usd()

    balance_usd = from_a_thread(ask)
    if balance_usd is None:
        return "the balance could not be read"
    fits = "enough" if balance_usd >= plan.total_cost_usd else "not enough"
    return f"balance ${balance_usd:,.2f}: {fits}"


def spending(
    allowances: Sequence[Allowance],
    by_column: Sequence[ColumnAllowance] = (),
    *,
    own: RunLedger,
    others: Sequence[RunDirectory],
    now_s: float,
    price_of: PriceOf,
    rows: Callable[[], Iterable[Job]] = tuple,
) -> Spending:
    """Return budgets that know what was spent before, here and in `others` of the same batch.

    Prices know the highest costs of all these ledgers; without a budget, of this one. What was
    submitted before a column had a budget counts by what its row has in that column now.
    """
    today, highest_usd = local_date(now_s), dict(own.highest_usd)
    budgets = tuple(Budget(limit_usd=one.usd, name=one.name) for one in allowances)
    columns = tuple(
        ColumnBudget(column=one.column, limit_usd=one.each.usd, name=one.each.name)
        for one in by_column
    )
    accounts: list[_Account] = [
        *(
            _WholeAccount(one.period, budget)
            for one, budget in zip(allowances, budgets, strict=True)
        ),
        *(
            _ColumnAccount(one.each.period, budget, _values_now(rows, one.column))
            for one, budget in zip(by_column, columns, strict=True)
        ),
    ]
    for record in own.records() if accounts else ():
        for account in accounts:
            _charge(account, record, today)
    dated = [account for account in accounts if account.period is not _RUN]
    for index in (replay(one.ledger).index for one in (others if accounts else ())):
        for model, usd in index.highest_usd.items():
            highest_usd[model] = max(usd, highest_usd.get(model, 0.0))
        for record in index.records() if dated else ():
            for account in dated:
                for charge in record.all_charges:
                    account.add_spent(record.job, charge, today)
    return Spending(
        budgets=budgets, column_budgets=columns, price_of=price_of, highest_usd=highest_usd
    )


@dataclass(frozen=True, slots=True)
class _WholeAccount:
    """One budget, and the charges that count in it."""

    period: Period
    budget: Budget

    def add_spent(self, _: str, charge: Charge, today: str) -> None:
        if _counts(charge, self.period, today):
            self.budget.add_spent(charge.usd)

    def add_reserved(self, job: str, charge: Charge) -> None:
        self.budget.add_reserved(job, charge.usd)


@dataclass(frozen=True, slots=True)
class _ColumnAccount:
    """The budgets of the values of one column, and the charges that count in them."""

    period: Period
    budget: ColumnBudget
    value_now: Callable[[str], str]

    def add_spent(self, job: str, charge: Charge, today: str) -> None:
        if _counts(charge, self.period, today):
            self.budget.of_value(self._value(job, charge)).add_spent(charge.usd)

    def add_reserved(self, job: str, charge: Charge) -> None:
        self.budget.add_reserved(job, self._value(job, charge), charge.usd)

    def _value(self, job: str, charge: Charge) -> str:
        stored = charge.by.get(self.budget.column)
        return self.value_now(job) if stored is None else stored


_Account: TypeAlias = _WholeAccount | _ColumnAccount


def _values_now(rows: Callable[[], Iterable[Job]], column: str) -> Callable[[str], str]:
    """Return a function: what the row of a job has in a column. Rows are read if it is called."""

    @cache
    def values() -> dict[str, str]:
        return {job.id: column_value(job, column) for job in rows()}

    return lambda job: values().get(job, "")


def _charge(account: _Account, record: JobRecord, today: str) -> None:
    """Reserve the price of a job in flight, which this run will settle; count the rest as spent."""
    for earlier in record.earlier_charges:
        account.add_spent(record.job, earlier, today)
    present = record.present_charge
    if record.state not in IN_FLIGHT:
        account.add_spent(record.job, present, today)
    elif _counts(present, account.period, today):
        account.add_reserved(record.job, present)


def _counts(charge: Charge, period: Period, today: str) -> bool:
    """Tell whether a charge belongs to the run, the day or the month: by its own submission."""
    if period is _RUN:
        return True
    submitted_s = seconds(charge.at)
    if submitted_s is None:
        return False
    length = 10 if period is Period.DAY else 7
    return local_date(submitted_s)[:length] == today[:length]


def columns_spelled(
    by_column: Sequence[ColumnAllowance], columns: Sequence[str]
) -> tuple[ColumnAllowance, ...]:
    """Return the allowances with their columns as the manifest spells them.

    Raises `ManifestError` with each column that is not there, as its budgets would never hold.
    """
    found, problems = [], []
    for one in by_column:
        try:
            found.append(replace(one, column=column_named(one.column, columns)))
        except ValueError as error:
            problems.append(Problem("--max-cost-by", str(error)))
    if problems:
        raise ManifestError(problems)
    return tuple(found)


def require_prices(jobs: Iterable[Job], price_of: PriceOf, *, manifest: str) -> None:
    """Raise `ManifestError` if a job has no price: no budget could be kept."""
    unknown = dict.fromkeys(job.model for job in jobs if price_of(job) is None)
    if unknown:
        what = (
            f"no price is known for {', '.join(unknown)}; a budget cannot be kept without one."
            " Say what a job costs with --assume-price USD"
        )
        raise ManifestError([Problem(where=manifest, what=what)])
