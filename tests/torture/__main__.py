"""Kill runs at random for as long as you like, then count: `python -m tests.torture --minutes 2`.

Every decision comes from the seed: which rows, how each run is ended and when, what is torn and
edited. The moment at which a signal arrives is real time, so a replay makes the same decisions;
what the kernel makes of them may differ.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.torture.soak import Plan, Soak

MAX_SHOWN = 40


def main(arguments: list[str] | None = None) -> int:
    """Torture; return 0 if nothing was wrong."""
    args = _parser().parse_args(arguments)
    minutes = args.minutes if args.minutes or args.kills else 2.0
    plan = Plan(
        seed=secrets.randbelow(1_000_000) if args.seed is None else args.seed,
        minutes=minutes, kills=args.kills, jobs=args.jobs, concurrency=args.concurrency,
    )  # fmt: skip
    # A shell that starts this in the background has it ignore Ctrl-C, and its children as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    soak = Soak(plan, Path(tempfile.mkdtemp(prefix="torture-")), say=_say)
    _say(f"seed {plan.seed}, in {soak.folder}; Ctrl-C ends it with a verdict")
    try:
        soak.run()
    except KeyboardInterrupt:
        _say("interrupted: the batch under way was not checked")
    good = _verdict(soak)
    if good and not args.keep:
        shutil.rmtree(soak.folder)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, help="begin nothing new after so many minutes (2)")
    add("--kills", type=int, help="begin nothing new after so many kills")
    add("--seed", type=int, help="decides everything but the time (default: random)")
    add("--jobs", type=int, default=300, help="rows of each spreadsheet (%(default)s)")
    add("--concurrency", type=int, default=16, help="jobs in flight (%(default)s)")
    add("--keep", action="store_true", help="keep the directory even if nothing is wrong")
    return parser


def _verdict(soak: Soak) -> bool:
    figures = soak.figures
    _say("")
    for line in figures.lines():
        _say(line)
    _say("")
    if not (figures.batches or figures.wrong):
        _say("NO VERDICT: no batch was counted to its end")
        return False
    if not figures.wrong:
        _say(f"GOOD: nothing paid twice, nothing lost, every file whole (seed {soak.plan.seed})")
        return True
    for what in figures.wrong[:MAX_SHOWN]:
        _say(what)
    if len(figures.wrong) > MAX_SHOWN:
        _say(f"and {len(figures.wrong) - MAX_SHOWN} more")
    _say(f"BAD: {len(figures.wrong)} findings; everything is kept in {soak.folder}")
    _say(f"the same decisions again: {soak.plan.command}")
    _say("(when exactly a signal arrives is real time; what the kernel makes of it may differ)")
    return False


def _say(text: str) -> None:
    sys.stdout.write(f"torture: {text}\n" if text else "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
