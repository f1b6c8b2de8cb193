"""One run with everything at hand: from the open ledger to the exit code."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from batchgen.app.console import Console
from batchgen.app.loading import SHOWN_PROBLEMS, LoadedBatch
from batchgen.app.open_batch import OpenBatch
from batchgen.app.pricing import PriceOf, price_of, price_sentence, require_prices, spending
from batchgen.app.remote import Remote
from batchgen.app.result_files import write_views
from batchgen.app.run_directory import DatedRunDirectories
from batchgen.app.run_file import known_jobs, mark_finished, remember, remember_jobs
from batchgen.app.run_options import Flags, RunOptions
from batchgen.app.run_preparation import grant, reopen_damaged
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.app.signals import signals_stop
from batchgen.core.adoption import adoptions
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry
from batchgen.core.plan import WORK_LEFT, Plan
from batchgen.core.polling.durations import past_duration_s
from batchgen.core.stop_reasons import StopReason, exit_code
from batchgen.core.summary import summarise
from batchgen.core.units import count_text, local_date, timestamp
from batchgen.ledger import RunLedger
from batchgen.models.registry import ModelRegistry
from batchgen.reports.plan_text import plan_sentence
from batchgen.reports.progress import Tally
from batchgen.reports.status_text import status_lines, summary_json
from batchgen.runner import Limits, Outcome, Runner, Spending
from batchgen.system.clock import SystemClock

NOT_THERE = NoCatalogueEntry(why="the stand-in does not have it", reached=True)


@dataclass(slots=True, kw_only=True)
class BatchRun:
    """One run with everything at hand."""

    opened: OpenBatch
    flags: Flags
    loaded: LoadedBatch
    options: RunOptions
    remote: Remote
    book: RunLedger
    talk: Console

    @property
    def run_dir(self) -> Path:
        """Where the batch keeps everything."""
        return self.opened.run_dir

    async def spend(self) -> int:
        """Do what the plan says; the exit code."""
        remember(self.run_dir, self.opened.target.shape, self.opened.target.manifest)
        if isinstance(self.opened.place, DatedRunDirectories):
            remember_jobs(self.run_dir, (job.id for job in self.loaded.spool.jobs()))
        for note in self.book.notes:
            self.talk.insist(note)
        await self._settle_crashes()
        await self._adopt()
        if self.flags.repair:
            await self._reopen_damaged()
        if not await self._grant():
            self.talk.say("nothing to retry")
            return 0
        selected = SelectedJobs.of(
            self.loaded.spool, self.book, self.options, matches_state=self.loaded.matches_state
        )
        prices = price_of(await self._models(), self.options)
        plan = selected.plan(prices)
        self.talk.say(plan_sentence(plan, invalid=self.loaded.spool.invalid))
        if sentence := price_sentence(plan):
            self.talk.say(sentence)
        outcome = Outcome(reasons=())
        if any((plan.counts + plan.removed)[kind] for kind in WORK_LEFT):
            outcome = await self._work(selected, plan, prices)
        return self._finish(selected, outcome)

    async def _settle_crashes(self) -> None:
        if crashed := await self.book.doubt_crashed_submissions():
            self.talk.insist(
                f"{count_text(crashed, 'job')} in doubt: an earlier run ended between sending a"
                " submission and hearing the answer. They are held; look for them at"
                " runcomfy.com under Generations."
            )

    async def _adopt(self) -> None:
        pairs = adoptions(self.loaded.spool, self.book)
        for old, new in pairs:
            await self.book.adopt(old, new)
        if pairs:
            self.talk.say(f"{count_text(len(pairs), 'row')} got an id and keep what they have")

    async def _reopen_damaged(self) -> None:
        found = await reopen_damaged(self.run_dir, self.book, now=timestamp(SystemClock().now_s()))
        for bad in found[:SHOWN_PROBLEMS]:
            self.talk.say(f"{bad.file.path}: {bad.why}; it is fetched again")
        if found:
            self.talk.say(f"{count_text(len(found), 'file')} to fetch again, at no cost")
        else:
            self.talk.say("every file is as it was downloaded")

    async def _grant(self) -> bool:
        """With `retry`: allow the attempts, and narrow the run to them; whether there are any."""
        if self.flags.retry is None:
            return True
        rows = (job.id for job in self.loaded.spool.jobs())
        granted = await grant(self.flags.retry, self.book, rows)
        if not self.flags.retry_rest:
            self.options = replace(self.options, jobs=granted)
        return bool(granted) or self.flags.retry_rest

    async def _work(self, selected: SelectedJobs, plan: Plan, prices: PriceOf) -> Outcome:
        from batchgen.api import ModelAPI
        from batchgen.app.output_store import store_of, with_sidecars

        clock = SystemClock()
        budgets = self._spending(selected, plan, prices)
        token = self.remote.token()
        tally = Tally(total=_to_do(plan), download=self.options.policy.download)
        progress = self.talk.progress(tally, clock)
        store = store_of(
            self.run_dir, self.loaded, self.book, api=self.remote.base, options=self.options,
            clock=clock,
        )  # fmt: skip
        outputs, observer = with_sidecars(
            store, self.loaded, self.book, progress, wanted=self.options.sidecar
        )
        try:
            async with ModelAPI(self.remote.base, token, clock=clock) as api, store:
                runner = Runner(
                    api=api, ledger=self.book, outputs=outputs, clock=clock, observer=observer,
                    policy=self.options.policy, limits=self._limits(plan), rng=random.Random(),
                    spending=budgets,
                )  # fmt: skip
                tally.limited_by = runner.limited_by
                self._recall_latencies(runner)
                with signals_stop(runner):
                    return await runner.run(selected)
        finally:
            progress.close()

    def _recall_latencies(self, runner: Runner) -> None:
        """Tell the runner how long jobs of each model took in earlier runs of this batch."""
        if next(iter(self.book.records()), None) is None:
            return  # a first run has no history, and the rows need not be gone through for it
        took_s: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
        for job in self.loaded.spool.jobs():
            record = self.book.get(job.id)
            duration_s = past_duration_s(record) if record else None
            if record and record.finished_at and duration_s is not None:
                took_s[job.model].append((record.finished_at, duration_s))
        for model, ended in took_s.items():
            runner.forecasts.of(model).whole.seed(duration_s for _, duration_s in sorted(ended))

    async def _models(self) -> ModelRegistry:
        """Where prices come from. A stand-in in this process is asked on this very loop."""
        token = self.remote.known_token
        if token is None:
            return self.opened.models
        from batchgen.api import ModelAPI

        async with ModelAPI(self.remote.base, token, clock=SystemClock()) as api:
            answers = [await api.model(model) for model in self.loaded.models]
        entries = {one.model_id: one for one in answers if isinstance(one, ModelEntry)}
        return ModelRegistry(packaged=entries, ask=lambda model: entries.get(model, NOT_THERE))

    def _limits(self, plan: Plan) -> Limits:
        options, now_s = self.options, SystemClock().monotonic_s()
        runtime_s, failures = options.max_runtime_s, options.max_failures
        return replace(
            options.limits,
            ends_at_s=None if runtime_s is None else now_s + runtime_s,
            max_failures=None if failures is None else failures.of(_to_do(plan)),
        )

    def _spending(self, selected: SelectedJobs, plan: Plan, prices: PriceOf) -> Spending:
        allowances = self.options.allowances
        if not allowances:
            return Spending(price_of=prices)
        if plan.unpriced:
            manifest = self.opened.target.manifest
            require_prices(selected.jobs(), prices, manifest=manifest)
        place = self.opened.place
        series = (
            [path for _, path in place.existing()] if isinstance(place, DatedRunDirectories) else []
        )
        return spending(
            allowances,
            own=self.book.records(),
            others=[path for path in series if path != self.run_dir],
            today=local_date(SystemClock().now_s()),
            price_of=prices,
        )

    def _finish(self, selected: SelectedJobs, outcome: Outcome) -> int:
        final = selected.plan()
        reasons = list(outcome.reasons)
        for model, why in outcome.stopped_models.items():
            reasons.append(StopReason.BREAKER)
            self.talk.insist(f"{model}: no more submissions in this run: {why}")
        code = exit_code(reasons, final, invalid=self.loaded.spool.invalid)
        if outcome.failure is not None:
            self.talk.insist(str(outcome.failure))
        else:
            write_views(self.run_dir, self.loaded.manifest.columns, self.loaded.spool, self.book)
        summary = summarise(self.book.get(job.id) for job in selected.jobs())
        if self.flags.json:
            said = [reason.value for reason in dict.fromkeys(reasons)]
            print(msgspec.json.encode(summary_json(summary, code, said)).decode())
        speak = self.talk.say if code == 0 else self.talk.insist
        if code in (0, 1) and self._covers_all():
            mark_finished(self.run_dir)
        for line in status_lines(summary, self.run_dir, now_s=SystemClock().now_s()):
            speak(line)
        if advice := self._advice(code, reasons, final):
            self.talk.insist(advice)
        return code

    def _covers_all(self) -> bool:
        """Whether nothing of this directory was left out on purpose."""
        only = self.options.jobs
        whole = not only or only.issuperset(known_jobs(self.run_dir))
        return whole and self.options.limit is None

    def _advice(self, code: int, reasons: Sequence[StopReason], final: Plan) -> str:
        """What to do now, where it is not over."""
        left = sum((final.counts + final.removed)[kind] for kind in WORK_LEFT)
        why = ", ".join(reason.value for reason in dict.fromkeys(reasons))
        again = f"the same command goes on: {self.flags.command_line}"
        if StopReason.TOKEN in reasons:
            again = "get a token at runcomfy.com (profile), set RUNCOMFY_TOKEN; then " + again
        elif StopReason.BUDGET in reasons:
            again = "raise --max-cost, or wait for the next day or month; then " + again
        elif StopReason.BALANCE in reasons:
            again = "add balance at runcomfy.com; then " + again
        if code in (0, 1):
            return ""
        return f"{why or 'stopped early'}: {count_text(left, 'job')} left; {again}"


def _to_do(plan: Plan) -> int:
    return sum((plan.counts + plan.removed)[kind] for kind in WORK_LEFT)
