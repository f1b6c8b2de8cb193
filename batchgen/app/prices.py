"""What jobs are expected to cost, in words and numbers, and whether the balance is enough."""

from __future__ import annotations

from collections.abc import Callable

from batchgen import settings
from batchgen.api.catalogue import from_a_thread
from batchgen.api.known import KnownModels
from batchgen.app.options import RunOptions, Target
from batchgen.clock import SystemClock
from batchgen.core.errors import TokenMissing
from batchgen.core.jobs import Job
from batchgen.core.origin import DEFAULT_BASE_URL
from batchgen.core.plan import Plan
from batchgen.core.quantities import count_text

PriceOf = Callable[[Job], float | None]


def price_of(models: KnownModels, options: RunOptions) -> PriceOf:
    """The catalogue's estimate for a job, else what the user assumes; None where nobody knows."""

    def price(job: Job) -> float | None:
        estimate_usd = models.estimate_usd(job.model, job.input)
        return options.assume_price_usd if estimate_usd is None else estimate_usd

    return price


def price_sentence(plan: Plan) -> str:
    """`40 jobs to submit, about $1.20 by the catalogue`; empty where nothing is to be submitted."""
    if not plan.submissions:
        return ""
    submit = f"{count_text(plan.submissions, 'job')} to submit"
    if plan.unpriced == plan.submissions:
        return f"{submit}; no price is known"
    unknown = f", and {plan.unpriced:,} without a known price" if plan.unpriced else ""
    return f"{submit}, about ${plan.total_cost_usd:,.2f}{unknown}"


def balance_sentence(target: Target, plan: Plan) -> str:
    """Whether the balance is enough; empty where it cannot be asked."""
    base = settings.api_base(target.base_url)
    if base.url != DEFAULT_BASE_URL or target.sandbox or not plan.submissions:
        return ""
    try:
        token = settings.token()
    except TokenMissing:
        return ""
    from batchgen.api import ModelAPI

    async def ask() -> float | None:
        async with ModelAPI(base, token, clock=SystemClock()) as api:
            return await api.balance_usd()

    balance_usd = from_a_thread(ask)
    if balance_usd is None:
        return "the balance could not be asked"
    fits = "enough" if balance_usd >= plan.total_cost_usd else "not enough"
    return f"balance ${balance_usd:,.2f}: {fits}"
