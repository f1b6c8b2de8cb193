"""Batch after batch until enough kills were made or enough time has passed."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.model_entry import ModelEntry
from batchgen.sandbox import SandboxConfig
from batchgen.system.crash_points import CrashPoint
from tests.kit import crashing
from tests.kit.live import Live, batchgen, live_sandbox
from tests.torture.batch import Batch
from tests.torture.decisions import MAX_ROUNDS, dice, round_of
from tests.torture.figures import Figures
from tests.torture.sheet import FAULTS, FILM, FILM_SCHEMA, WEATHER, Sheet

REPORT_EVERY_S = 10.0
DATED = 0.4
"""The share of batches whose run directories are dated."""
ENDS_PER_BATCH = 2
"""A batch that came to its end is edited and run once more, at most so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The arguments of one torture."""

    seed: int
    minutes: float | None
    kills: int | None
    jobs: int
    concurrency: int

    @property
    def command(self) -> str:
        """The command that makes the same decisions again."""
        limit = f"--kills {self.kills}" if self.kills else f"--minutes {self.minutes:g}"
        size = f"--jobs {self.jobs} --concurrency {self.concurrency}"
        return f"python -m tests.torture {limit} --seed {self.seed} {size}"


@dataclass(slots=True)
class Soak:
    """One torture, batch after batch."""

    plan: Plan
    folder: Path
    say: Callable[[str], None]
    figures: Figures = field(default_factory=Figures)
    began_s: float = field(default_factory=time.monotonic)
    interrupted: bool = False
    _reported_at_s: float = 0.0
    _findings_reported: int = 0

    def run(self) -> None:
        """Torture until enough is done; a batch that was begun is run to its end."""
        # The sandbox logs each client that vanishes; here all do.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        points = sorted(crashing.placed())
        compacts = batchgen("ledger", "compact", "-h").code == 0
        if not compacts:
            self.say("there is no `batchgen ledger compact` here: that step is left out")
        config = SandboxConfig(
            capacity=64, duration_min_s=0.1, duration_max_s=0.6, balance_usd=1e6,
            faults=(*FAULTS.values(), *WEATHER), seed=self.plan.seed,
            models=(ModelEntry(model_id=FILM, input_schema=FILM_SCHEMA),),
        )  # fmt: skip
        with live_sandbox(config) as sandbox:
            number = 0
            while not self._enough():
                number += 1
                try:
                    self._batch(sandbox, number, points, compacts=compacts)
                except (subprocess.TimeoutExpired, ValueError) as error:
                    self.figures.wrong.append(f"batch-{number:03}: {type(error).__name__}: {error}")

    def _batch(
        self, sandbox: Live, number: int, points: Sequence[CrashPoint], *, compacts: bool
    ) -> None:
        plan = self.plan
        path = self.folder / f"batch-{number:03}.csv"
        is_dated = dice(plan.seed, number, "kind").random() < DATED
        when = dice(plan.seed, number, "steps").choice(("", "", "done", "kept"))
        sheet = Sheet(path, plan.seed, number, plan.jobs, is_dated=is_dated, when=when)
        batch = Batch(sandbox, sheet, self.figures, concurrency=plan.concurrency)
        try:
            for n in range(1, MAX_ROUNDS + 1):
                if self._enough() or batch.ends >= ENDS_PER_BATCH:
                    break
                one = round_of(plan.seed, number, n, points)
                batch.play(one, plan.seed, compacts=compacts)
                self._report(f"batch {number}, round {n}")
        except KeyboardInterrupt:
            self.interrupted = True
            self.say("the batch under way is brought to its end and counted; Ctrl-C leaves it")
        batch.finish()

    def _enough(self) -> bool:
        plan, figures = self.plan, self.figures
        over = plan.minutes is not None and self._passed_s() >= plan.minutes * 60
        return self.interrupted or over or (plan.kills is not None and figures.killed >= plan.kills)

    def _passed_s(self) -> float:
        return time.monotonic() - self.began_s

    def _report(self, step: str) -> None:
        if self._passed_s() - self._reported_at_s < REPORT_EVERY_S:
            return
        self._reported_at_s = self._passed_s()
        figures = self.figures
        while self._findings_reported < len(figures.wrong):
            self.say(f"FOUND: {figures.wrong[self._findings_reported]}")
            self._findings_reported += 1
        well = f"{len(figures.wrong)} FINDINGS" if figures.wrong else "nothing wrong so far"
        counts = f"{figures.killed:,} kills, {figures.runs:,} runs"
        self.say(f"{self._reported_at_s:5.0f} s  {step}: {counts}, {well}")
