"""The program with a crash point at which it is killed.

    python -m tests.kit.crashing POINT N -- run manifest.csv ...

kills itself with SIGKILL when it passes POINT for the N-th time. Everything else is unchanged.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import batchgen
from batchgen import cli
from batchgen.system import crash_points
from batchgen.system.crash_points import CrashPoint
from tests.kit import MODEL

REPO = Path(__file__).resolve().parents[2]


def command(point: CrashPoint, passage: int, *arguments: str | Path) -> list[str]:
    """Return the command line of a process that kills itself there; start it in `REPO`."""
    line = [sys.executable, "-m", "tests.kit.crashing", point.value, str(passage), "--"]
    model = ["--model", MODEL] if arguments[0] == "run" and "--model" not in arguments else []
    return [*line, *map(str, arguments), *model]


@cache
def placed() -> frozenset[CrashPoint]:
    """Return the crash points that are passed somewhere in the code."""
    sources = Path(batchgen.__file__).parent.rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    names = set(re.findall(r"\breached\(CrashPoint\.(\w+)\)", text))
    return frozenset(point for point in CrashPoint if point.name in names)


def die_at(point: CrashPoint, passage: int) -> Callable[[CrashPoint], None]:
    """Return a hook that kills this process; it may be called on any thread."""
    passages = itertools.count(1)

    def hook(here: CrashPoint) -> None:
        if here is point and next(passages) == passage:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def write_by_halves() -> None:
    """Let the kernel write half of what it is given, and the rest with the next call, as it may."""
    write, divisors = os.write, itertools.cycle((2, 1))
    os.write = lambda fd, data: write(fd, data[: max(1, len(data) // next(divisors))])


def main(arguments: list[str]) -> int:
    """Run the command behind `--`; return its exit code if it is not killed."""
    point, passage, _, *command_line = arguments
    if point == CrashPoint.LINE_HALF_WRITTEN:
        write_by_halves()
    crash_points.hook = die_at(CrashPoint(point), int(passage))
    return cli.main(command_line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
