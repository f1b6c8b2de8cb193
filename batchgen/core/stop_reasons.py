"""Reasons to stop a run early, and what each of them stops."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
