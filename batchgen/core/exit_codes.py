"""The exit code of a run and its reasons: why it was stopped, what is left, what ended badly.

Exit codes are those of sysexits, which the vendor's command-line tool uses too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from batchgen.core.stop_reasons import EFFECTS, StopReason

if TYPE_CHECKING:
    from batchgen.core.plan import Plan

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
    if invalid or final.ended_badly:
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
