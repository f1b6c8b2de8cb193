"""`--if-locked`: wait for, skip, or fail on a run directory that another process has locked.

The lock is taken before the manifest is read, so that a run that had to wait works with the
manifest, the stored flags and the ledger as they are by then.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.app.command_context import CommandContext
from batchgen.app.signals import signals_noted
from batchgen.core.errors import LockHeld
from batchgen.core.run_limits import IfLocked, LockedAction
from batchgen.core.units import duration_text
from batchgen.ledger.lock import RunLock, holder_in
from batchgen.system.run_directory import RunDirectory

TRY_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockWait:
    """How one command takes the lock of a run directory."""

    if_locked: IfLocked
    context: CommandContext

    @property
    def waits(self) -> bool:
        """Tell whether a lock that another process holds is waited for."""
        return self.if_locked.action is LockedAction.WAIT

    async def take(self, directory: RunDirectory) -> RunLock | None:
        """Return the lock; None if no process has ever locked this directory.

        A directory without a lock file is left as it is, because a wrong manifest shall leave
        nothing behind. Raises `LockHeld` if another process holds the lock and waiting is not
        wanted or was in vain, `Interrupted` or `Terminated` for a signal in the meantime.
        """
        if not directory.lock.exists():
            return None
        try:
            return self.acquire(directory)
        except LockHeld:
            if not self.waits:
                raise
        return await self._wait(directory)

    def acquire(self, directory: RunDirectory) -> RunLock:
        """Take the lock now. Raises `LockHeld` or `LocalIOError`."""
        return RunLock.acquire(directory.path, now_s=self.context.clock.now_s())

    async def _wait(self, directory: RunDirectory) -> RunLock:
        clock, wait_s = self.context.clock, self.if_locked.wait_s
        ends_s = clock.monotonic_s() + wait_s
        holder = holder_in(directory.path)
        who = holder.phrase(clock.now_s()) if holder else "another process"
        with signals_noted(self.context.signals) as signals:
            self.context.console.say(
                f"{directory}: in use by {who}; waiting up to {duration_text(wait_s)} for it"
            )
            while True:
                left_s = ends_s - clock.monotonic_s()
                await clock.wait(signals.event, min(TRY_EVERY_S, max(0.0, left_s)))
                signals.raise_for_signal()
                try:
                    return self.acquire(directory)
                except LockHeld as held:
                    if left_s <= TRY_EVERY_S:
                        waited = f"{held} (waited {duration_text(wait_s)})"
                        raise LockHeld(waited) from None
