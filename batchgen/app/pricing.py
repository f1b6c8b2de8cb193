"""Prices of jobs, the cost of a plan in words, and the budgets of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import from_a_thread
from batchgen.app.remote import Remote
from batchgen.core.api_base import DEFAULT_BASE_URL
from batchgen.core.budget import Budget, charged_usd
from batchgen.core.errors import ManifestError, Problem, TokenMissing
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.core.plan import Plan, Records
from batchgen.core.run_limits import Allowance, Period
from batchgen.core.run_settings import RunSettings
from batchgen.core.units import local_date, seconds
from batchgen.ledger import replay
from batchgen.models.registry import ModelRegistry
from batchgen.runner.spending import Spending
from batchgen.system.run_directory import RunDirectory

NOT_IN_SANDBOX = NoCatalogueEntry(why="the sandbox does not have it", reached=True)

PriceOf = Callable[[Job], float | None]


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
    *,
    own: Records,
    others: Sequence[RunDirectory],
    now_s: float,
    price_of: PriceOf,
) -> Spending:
    """Return budgets that know what was spent before, here and in `others` of the same batch."""
    today = local_date(now_s)
    budgets = tuple(Budget(limit_usd=one.usd, name=one.name) for one in allowances)
    for allowance, budget in zip(allowances, budgets, strict=True):
        for record in own.records():
            if _counts(record, allowance.period, today):
                _charge(budget, record)
        if allowance.period is not Period.RUN:
            for record in _records_of(others):
                if _counts(record, allowance.period, today):
                    budget.add_spent(charged_usd(record))
    return Spending(budgets=budgets, price_of=price_of)


def _charge(budget: Budget, record: JobRecord) -> None:
    """Reserve the price of a job in flight, which this run will settle; count the rest as spent."""
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


def _records_of(directories: Sequence[RunDirectory]) -> Iterable[JobRecord]:
    for directory in directories:
        yield from replay(directory.ledger).index.records()


def require_prices(jobs: Iterable[Job], price_of: PriceOf, *, manifest: str) -> None:
    """Raise `ManifestError` if a job has no price: no budget could be kept."""
    unknown = dict.fromkeys(job.model for job in jobs if price_of(job) is None)
    if unknown:
        what = (
            f"no price is known for {', '.join(unknown)}; a budget cannot be kept without one."
            " Say what a job costs with --assume-price USD"
        )
        raise ManifestError([Problem(where=manifest, what=what)])
