"""Whole processes under measurement: wall time, CPU time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROGRAM = (sys.executable, "-m", "batchgen")


@dataclass(frozen=True, slots=True)
class Took:
    """What one process needed."""

    wall_s: float
    cpu_s: float
    """User and system time together."""
    peak_mb: float


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Took:
    """Run a process to its end, which must be a good one."""
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    scale = 1 if sys.platform == "darwin" else 1024
    return Took(
        wall_s=time.perf_counter() - began_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss * scale / 1e6,
    )
