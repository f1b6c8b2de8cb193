"""The decisions about a batch, drawn from the seed alone.

Every round has dice of its own, named by seed, batch and round: what happened in earlier rounds,
which depends on real time, does not change them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batchgen.system.crash_points import CrashPoint

MAX_ROUNDS = 40
"""After so many rounds a batch is run to its end, however much is left."""


class End(StrEnum):
    """Ways to end a run."""

    KILL = "SIGKILL"
    POINT = "at a crash point"
    TERM = "SIGTERM"
    INT = "SIGINT"
    TERM_THEN_KILL = "SIGTERM, then SIGKILL"


class Tear(StrEnum):
    """Damage to the end of the ledger, made while no run writes it."""

    SOME_BYTES = "some bytes of the last line"
    NEWLINE = "the last newline"
    HALF_A_LINE = "half a line more"


class Edit(StrEnum):
    """Edits of the spreadsheet between two runs."""

    CHANGE = "change some prompts"
    GO_BACK = "go back to the first prompts"
    SORT = "sort"
    EXTEND = "add rows"
    REMOVE = "remove rows"


class Narrowing(StrEnum):
    """Flags that let one run do only a part of the work."""

    SELECT = "--select"
    LIMIT = "--limit"
    JOB = "--job"
    NO_DOWNLOAD = "--no-download"


class Decision(StrEnum):
    """Decisions of the user about a job in doubt, made while no run is active."""

    ATTACH = "resolve --request-id"
    GIVE_UP = "resolve --give-up"
    RESUBMIT = "resolve --resubmit"
    RESUBMIT_THEN_ATTACH = "resolve --resubmit, then --request-id"


COMPACTION = (CrashPoint.COMPACTION_WRITTEN, CrashPoint.COMPACTION_RENAMED)
REVIEW = (CrashPoint.REVIEW_WRITTEN, CrashPoint.REVIEW_DURABLE)
NOT_OF_A_RUN = (*COMPACTION, *REVIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run and what follows it."""

    number: int
    end: End
    after_s: float
    """When the run is ended; for a crash point: when it is killed if it did not get there."""
    grace_s: float
    """Between SIGTERM and SIGKILL, if there are both."""
    point: CrashPoint
    passage: int
    beside: str
    """A command that reads while the run is active; empty: none."""
    beside_after_s: float
    tear: Tear | None
    compact: bool
    compact_point: CrashPoint | None
    """The point at which the compaction is killed; None: it is not killed."""
    edits: tuple[Edit, ...]
    narrowing: Narrowing | None
    decision: Decision | None
    review: bool
    """Whether the user reviews some outputs and asks for some of them again."""
    review_point: CrashPoint | None
    """The point at which the review is killed; None: it is not killed."""
    next_day: bool
    """Whether a day passes; of batches with dated run directories only."""
    share: float
    """The share that is torn or edited, from 0 to 1."""


def dice(*parts: object) -> random.Random:
    """Return dice with a name: the same parts give the same throws."""
    return random.Random("/".join(map(str, parts)))


def round_of(seed: int, batch: int, number: int, points: Sequence[CrashPoint]) -> Round:
    """Decide one round, always with the same number of throws in the same order."""
    chance = dice(seed, batch, number)
    ends = chance.choices(list(End), weights=(45, 35, 8, 6, 6))
    early = chance.random() < 0.15
    after_s = chance.uniform(0.05, 0.6) if early else chance.uniform(0.6, 1.8)
    rarely, sometimes = chance.random() < 0.08, chance.random() < 0.35
    return Round(
        number=number,
        end=ends[0],
        after_s=4.0 if ends[0] is End.POINT else after_s,
        grace_s=chance.uniform(0.0, 0.5),
        point=chance.choice([one for one in points if one not in NOT_OF_A_RUN]),
        passage=int(chance.paretovariate(0.7)),
        beside=chance.choice(("status", "report")) if rarely else "",
        beside_after_s=chance.uniform(0.0, 1.2),
        tear=chance.choice(list(Tear)) if sometimes else None,
        compact=chance.random() < 0.12,
        compact_point=chance.choice((None, *COMPACTION)),
        edits=tuple(edit for edit in Edit if chance.random() < 0.05),
        share=chance.random(),
        narrowing=chance.choice(list(Narrowing)) if chance.random() < 0.3 else None,
        decision=chance.choice(list(Decision)) if chance.random() < 0.3 else None,
        next_day=chance.random() < 0.15,
        review=chance.random() < 0.25,
        review_point=chance.choice((None, *REVIEW)),
    )
