"""The wiring of a run: runner, API client, output store, progress and budgets, put together."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.app.command_context import CommandContext
from batchgen.app.output_store import store_of, with_sidecars
from batchgen.app.remote import Remote
from batchgen.app.run_options import limits_of, policy_of
from batchgen.app.signals import signals_stop
from batchgen.core.plan import Plan
from batchgen.core.polling.durations import past_duration_s
from batchgen.core.run_settings import RunSettings
from batchgen.ledger import RunLedger
from batchgen.reports.progress import Tally
from batchgen.runner.runner import Runner
from batchgen.runner.spending import Spending
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.loading import LoadedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerParts:
    """The parts that a runner is built from."""

    context: CommandContext
    directory: RunDirectory
    loaded: LoadedBatch
    settings: RunSettings
    remote: Remote
    ledger: RunLedger
    spending: Spending
    adopt_later: Mapping[str, str]
    """New job -> the job of the same input that it takes over once its own has ended."""


@asynccontextmanager
async def build_runner(parts: RunnerParts, plan: Plan) -> AsyncIterator[Runner]:
    """Give a runner for the jobs of `plan`, which signals stop; its parts are closed at the end.

    Raises `TokenMissing`, and `LocalIOError` if the outputs cannot be written.
    """
    clock, settings, to_do = parts.context.clock, parts.settings, plan.work_left
    policy = policy_of(settings)
    client = parts.remote.client()
    tally = Tally(total=to_do, download=policy.download)
    with closing(parts.context.console.progress(tally, clock)) as progress:
        store = store_of(
            parts.directory,
            parts.loaded,
            parts.ledger,
            api=parts.remote.base,
            download=policy.download,
            clock=clock,
            on_defect=parts.context.console.insist,
        )
        outputs, observer = with_sidecars(
            store, parts.loaded, parts.ledger, progress, wanted=settings.sidecar
        )
        async with client as api, store:
            runner = Runner(
                api=api, ledger=parts.ledger, outputs=outputs, clock=clock, observer=observer,
                policy=policy, rng=random.Random(), spending=parts.spending,
                adopt_later=parts.adopt_later,
                limits=limits_of(settings, begun_s=clock.monotonic_s(), jobs=to_do),
            )  # fmt: skip
            tally.limited_by = runner.limited_by
            _recall_durations(runner, parts)
            with signals_stop(runner.stop):
                yield runner


def _recall_durations(runner: Runner, parts: RunnerParts) -> None:
    """Tell the runner how long jobs of each model took in earlier runs of this batch."""
    if next(iter(parts.ledger.records()), None) is None:
        return  # a first run has no history, and the rows need not be read for it
    took_s: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for job in parts.loaded.spool.jobs():
        record = parts.ledger.get(job.id)
        duration_s = past_duration_s(record) if record else None
        if record and record.finished_at and duration_s is not None:
            took_s[job.model].append((record.finished_at, duration_s))
    for model, ended in took_s.items():
        runner.forecasts.of(model).whole.seed(duration_s for _, duration_s in sorted(ended))
