"""The plan of a run in words and in JSON."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.core.plan import Disposition, Plan
from batchgen.core.units import count_text


def plan_sentence(plan: Plan, *, invalid: int) -> str:
    """Return `44 jobs: 40 new, 3 in flight, 1 done`."""
    groups = ", ".join(plan.sentences())
    left_out = f"; {count_text(invalid, 'wrong row')} left out" if invalid else ""
    return f"{count_text(plan.jobs, 'job')}: {groups}{left_out}"


def price_sentence(plan: Plan) -> str:
    """Return `40 jobs to submit, about $1.20`; empty if nothing is to be submitted or follows."""
    return "; ".join(_price_phrases(plan))


def _price_phrases(plan: Plan) -> Iterator[str]:
    follow = plan.counts[Disposition.WAITS_FOR_STEP]
    if plan.submissions or follow:
        submit = f"{count_text(plan.submissions, 'job')} to submit"
        if follow:
            submit += f" and {follow:,} to follow"
        if plan.unpriced == plan.submissions + follow:
            yield f"{submit}; no price is known"
        else:
            most = "at most" if follow else "about"
            unknown = f", and {plan.unpriced:,} without a known price" if plan.unpriced else ""
            yield f"{submit}, {most} ${plan.total_cost_usd:,.2f}{unknown}"
    if waiting := plan.counts[Disposition.WAITS_FOR_REVIEW]:
        usd = plan.cost_usd.get(Disposition.WAITS_FOR_REVIEW, 0.0)
        price = f", ${usd:,.2f} if you keep all" if usd else ""
        yield f"{waiting:,} more after your review{price}"


def plan_table(plan: Plan) -> Iterator[str]:
    """Yield one line for each group: what it is, how many jobs, its expected cost."""
    for kind in Disposition:
        if count := plan.counts[kind]:
            cost = plan.cost_usd.get(kind)
            price = f"  ${cost:,.2f}" if cost else ""
            yield f"  {kind.value:<28}{count:>9,}{price}"
    for kind in Disposition:
        if count := plan.removed[kind]:
            yield f"  row removed, {kind.value:<15}{count:>9,}"


def plan_json(plan: Plan) -> dict[str, object]:
    """Return the plan for a program."""
    return {
        "jobs": plan.jobs,
        "submissions": plan.submissions,
        "cost_usd": round(plan.total_cost_usd, 6),
        "unpriced": plan.unpriced,
        "groups": {
            kind.name.lower(): {"jobs": count, "cost_usd": round(plan.cost_usd.get(kind, 0.0), 6)}
            for kind, count in plan.counts.items()
        },
        "removed": {kind.name.lower(): count for kind, count in plan.removed.items()},
    }
