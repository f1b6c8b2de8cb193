"""How much at once, how long, and how much money: what a run was told, frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchgen.core.budget import Budget
from batchgen.core.endings import StopReason
from batchgen.core.jobs import Job
from batchgen.ports import Clock
from batchgen.runner.stopping import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Prices and budgets; without any, nothing is reserved."""

    budgets: tuple[Budget, ...] = ()
    price_of: Callable[[Job], float | None] = lambda _: None
    """What one job is expected to cost in USD; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one run."""

    concurrency: int = 8
    """Jobs in flight at most."""
    downloads: int = 8
    """Jobs whose outputs are fetched at once."""
    posts: int = 128
    """Submissions on their way at once; each has a connection of its own."""
    looks: int = 64
    """Calls about jobs in flight at once."""
    rate_per_s: float | None = None
    """Calls of the API started per second, looks included."""
    wait_for_api_s: float = 20.0
    silence_s: float = 3600.0
    job_timeout_s: float | None = None
    """From its submission; None: by the kind of the model's output."""
    ends_at_s: float | None = None
    """Monotonic time at which the run has to be over."""
    max_failures: int | None = None
    cancel_on_interrupt: bool = False
    drain_s: float = 4.0
    """What answers on their way get after a signal."""
    cancel_s: float = 3.0
    """What cancellations get after a signal."""

    def leave_time_for(self, expected_s: float, clock: Clock) -> bool:
        """Whether a job that takes this long would end in time if it were submitted now."""
        return self.ends_at_s is None or clock.monotonic_s() + expected_s < self.ends_at_s

    async def runtime(self, stop: Stop, clock: Clock) -> None:
        """End the run when its time is over."""
        if self.ends_at_s is not None:
            await clock.sleep(max(0.0, self.ends_at_s - clock.monotonic_s()))
            stop.request(StopReason.TIME_OVER)
