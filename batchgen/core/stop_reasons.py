"""Why a run ends before its work does, what each reason still allows, and the exit code.

Exit codes are those of sysexits, as the vendor's own command-line tool uses them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batchgen.core.plan import BADLY_ENDED, Plan


class StopReason(StrEnum):
    """Why nothing new is submitted any more; in the order in which they decide the exit code."""

    SIGINT = "interrupted"
    SIGTERM = "terminated"
    TOKEN = "token rejected"  # noqa: S105 - not a password
    DISK = "local disk"
    UNREACHABLE = "API not reachable"
    SILENT = "no answer for an hour"
    BALANCE = "balance exhausted"
    BUDGET = "budget used up"
    RUNTIME = "what is left would not end in time"
    TIME_OVER = "time is over"
    FAILURES = "too many failures"
    BREAKER = "a model was stopped"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a reason ends besides submissions, and the exit code it leads to."""

    exit_code: int
    polls: bool = True
    downloads: bool = False
    only_if_work_left: bool = False


EFFECTS: dict[StopReason, Effect] = {
    StopReason.SIGINT: Effect(130, downloads=True),
    StopReason.SIGTERM: Effect(143, downloads=True),
    StopReason.TOKEN: Effect(77),
    StopReason.DISK: Effect(74, downloads=True),
    StopReason.UNREACHABLE: Effect(69),
    StopReason.SILENT: Effect(75),
    StopReason.TIME_OVER: Effect(75, downloads=True, only_if_work_left=True),
    StopReason.BALANCE: Effect(75, polls=False, only_if_work_left=True),
    StopReason.BUDGET: Effect(75, polls=False, only_if_work_left=True),
    StopReason.RUNTIME: Effect(75, polls=False, only_if_work_left=True),
    StopReason.FAILURES: Effect(75, polls=False, only_if_work_left=True),
    StopReason.BREAKER: Effect(75, polls=False, only_if_work_left=True),
}

_WORST_FIRST = (130, 143, 77, 74, 69, 75, 1, 0)

STOPPED_EARLY = 75
SOME_ENDED_BADLY = 1


def exit_code(reasons: Iterable[StopReason], final: Plan, *, invalid: int = 0) -> int:
    """The code of a run that was stopped for these reasons (none: it went to its end).

    `final` is the plan made anew after the run: what is left and what ended badly.
    """
    stopped = set(reasons)
    left = final.work_left
    for reason, effect in EFFECTS.items():
        if reason in stopped and (left or not effect.only_if_work_left):
            return effect.exit_code
    if left:
        return STOPPED_EARLY
    badly = invalid or any(final.counts[kind] for kind in BADLY_ENDED)
    return SOME_ENDED_BADLY if badly else 0


def worst(codes: Iterable[int]) -> int:
    """The one code for several runs in a row."""
    return min(codes, key=lambda code: _WORST_FIRST.index(code) if code in _WORST_FIRST else -1)
