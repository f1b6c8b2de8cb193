"""One process of the program, and ways to end it."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.kit import crashing
from tests.kit.live import Live, environment
from tests.torture.decisions import End, Round

DRAIN_S = 20.0
"""Time that a run may take to stop on a busy machine; it promises 5 s."""


@dataclass(slots=True)
class Run:
    """An active process."""

    process: subprocess.Popen[str]
    began_s: float
    was_signalled: bool = False
    """True if it was ended from outside, before it ended by itself."""

    @classmethod
    def start(cls, arguments: list[str], log: Path, sandbox: Live) -> Run:
        """Start a command; its output goes to the log."""
        with log.open("a", encoding="utf-8") as file:
            process = subprocess.Popen(
                arguments, env=environment(sandbox), cwd=crashing.REPO, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, text=True, start_new_session=True,
            )  # fmt: skip
        return cls(process, time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave no process behind, also if the torture itself is interrupted."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wait(self, timeout_s: float) -> int:
        """Return its exit code; raise `TimeoutExpired`."""
        with self:
            return self.process.wait(timeout_s)

    def lives(self, until_s: float) -> bool:
        """Wait until so many seconds after its start; return whether it is still active."""
        try:
            self.process.wait(max(0.0, self.began_s + until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return True
        return False

    def end(self, one: Round) -> int:
        """End it as was decided; return its exit code, negative for a signal."""
        if not self.lives(one.after_s):
            return self.process.returncode
        self.was_signalled = True
        if one.end is End.INT:
            self.process.send_signal(signal.SIGINT)
        elif one.end in (End.TERM, End.TERM_THEN_KILL):
            self.process.terminate()
        else:
            self.process.kill()
        patience_s = one.grace_s if one.end is End.TERM_THEN_KILL else DRAIN_S
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
