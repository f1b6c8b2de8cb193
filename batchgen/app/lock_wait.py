"""Whose turn it is in a run directory: what to do where another run is at work there.

The lock is taken before the manifest is read, so that a run that had to wait works with what
the manifest, the flags that are kept and the ledger say then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchgen.app.signals import signals_heard
from batchgen.core.errors import LockHeld
from batchgen.core.run_limits import IfLocked, LockedAction
from batchgen.core.units import duration_text
from batchgen.ledger import LOCK_NAME, RunLock, holder_in
from batchgen.system.clock import SystemClock

TRY_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class LockWait:
    """The turn of one command, which may need it in several run directories, one by one."""

    if_locked: IfLocked
    say: Callable[[str], None]
    """Told once for each wait."""

    @property
    def waits(self) -> bool:
        """Whether another one is waited for."""
        return self.if_locked.stance is LockedAction.WAIT

    async def take(self, run_dir: Path) -> RunLock | None:
        """The lock of a run directory; None where nobody ever had it, so nobody has it now.

        Raises `LockHeld` where another has it and waiting is not wanted or was in vain, and
        `Interrupted` or `Terminated` for a signal that came meanwhile.
        """
        if not (run_dir / LOCK_NAME).exists():
            return None
        clock = SystemClock()
        try:
            return RunLock.acquire(run_dir, now_s=clock.now_s())
        except LockHeld:
            if not self.waits:
                raise
        return await self._wait(run_dir, clock)

    async def _wait(self, run_dir: Path, clock: SystemClock) -> RunLock:
        wait_s = self.if_locked.wait_s
        ends_s = clock.monotonic_s() + wait_s
        holder = holder_in(run_dir)
        who = holder.phrase(clock.now_s()) if holder else "another process"
        with signals_heard() as heard:
            self.say(f"{run_dir}: in use by {who}; waiting up to {duration_text(wait_s)} for it")
            while True:
                left_s = ends_s - clock.monotonic_s()
                await clock.wait(heard.event, min(TRY_EVERY_S, max(0.0, left_s)))
                heard.raise_for_signal()
                try:
                    return RunLock.acquire(run_dir, now_s=clock.now_s())
                except LockHeld as held:
                    if left_s <= TRY_EVERY_S:
                        waited = f"{held} (waited {duration_text(wait_s)})"
                        raise LockHeld(waited) from None
