"""Reasons to stop a run early, what each of them stops, and the exit code of a run.

Exit codes are those of sysexits, which the vendor's command-line tool uses too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batchgen.core.plan import BADLY_ENDED, Plan


class StopReason(StrEnum):
    """A reason to submit nothing more. The values are printed, also in the JSON summary."""

    SIGHUP = "hung up"
    SIGINT = "interrupted"
    SIGTERM = "terminated"
    TOKEN = "token rejected"  # noqa: S105 - not a password
    DISK = "local disk"
    UNREACHABLE = "API not reachable"
    SILENT = "no answer for an hour"
    RATE = "every submission was rejected for an hour because of its rate"
    BALANCE = "balance exhausted"
    BUDGET = "budget used up"
    RUNTIME = "what is left would not end in time"
    TIME_OVER = "time is over"
    FAILURES = "too many failures"
    BREAKER = "a model was stopped"
    DEFECT = "a defect of batchgen"


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a stop reason besides stopping submissions."""

    exit_code: int
    stops_polls: bool = True
    stops_downloads: bool = False
    only_if_work_left: bool = False


EFFECTS: dict[StopReason, Effect] = {  # the first reason that applies decides the exit code
    StopReason.SIGHUP: Effect(129, stops_downloads=True),
    StopReason.SIGINT: Effect(130, stops_downloads=True),
    StopReason.SIGTERM: Effect(143, stops_downloads=True),
    StopReason.TOKEN: Effect(77),
    StopReason.DISK: Effect(74, stops_downloads=True),
    StopReason.UNREACHABLE: Effect(69),
    StopReason.SILENT: Effect(75),
    StopReason.TIME_OVER: Effect(75, stops_downloads=True, only_if_work_left=True),
    StopReason.BALANCE: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.BUDGET: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.RUNTIME: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.FAILURES: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.RATE: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.BREAKER: Effect(75, stops_polls=False, only_if_work_left=True),
    StopReason.DEFECT: Effect(75, stops_polls=False, only_if_work_left=True),
}

SIGNALS = frozenset({StopReason.SIGHUP, StopReason.SIGINT, StopReason.SIGTERM})
"""Reasons to stop within seconds."""

_WORST_FIRST = (129, 130, 143, 77, 74, 69, 75, 1, 0)

STOPPED_EARLY = 75
SOME_ENDED_BADLY = 1
INTERNAL_ERROR = 70
"""Nothing is left and nothing ended badly, but this program made a mistake."""


def exit_code(reasons: Iterable[StopReason], final: Plan, *, invalid: int = 0) -> int:
    """Return the exit code of a run that was stopped for these reasons (none: it ran to its end).

    `final` is the plan after the run: it tells what is left and what ended badly. `invalid` is the
    number of invalid rows.
    """
    stopped = set(reasons)
    for reason, effect in EFFECTS.items():
        if reason in stopped and (final.work_left or not effect.only_if_work_left):
            return effect.exit_code
    if final.work_left:
        return STOPPED_EARLY
    if invalid or any(final.counts[kind] for kind in BADLY_ENDED):
        return SOME_ENDED_BADLY
    return INTERNAL_ERROR if StopReason.DEFECT in stopped else 0


def worst(codes: Iterable[int]) -> int:
    """Return the one exit code of several runs in a row."""
    return min(codes, key=lambda code: _WORST_FIRST.index(code) if code in _WORST_FIRST else -1)


def reason_texts(reasons: Iterable[StopReason], code: int) -> list[str]:
    """Return the reasons for an exit code, as they are printed: at least one, unless it is 0."""
    return [one.value for one in reasons] or ([_UNNAMED[code]] if code in _UNNAMED else [])


_UNNAMED = {SOME_ENDED_BADLY: "some jobs ended badly", STOPPED_EARLY: "jobs are left"}
"""The reasons of exit codes that no stop of the run explains."""
