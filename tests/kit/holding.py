"""The lock of a run directory, held by another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import os, sys
from pathlib import Path
from batchgen.system.clock import SystemClock
from batchgen.ledger.lock import RunLock
RunLock.acquire(Path(sys.argv[1]), now_s=SystemClock().now_s() - 3 * 3600 - 600)
if sys.argv[2:] == ["fork"] and os.fork():
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(run_dir: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock until this ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run_dir), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
