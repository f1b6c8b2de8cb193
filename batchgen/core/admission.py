"""Whether a job may be submitted now: hold, canary and breaker, as one fold over events.

- **Hold.** After a lost answer nothing is submitted until a free call shows that the API answers
  again; then one job goes alone, and the rest once it was accepted. So an outage costs the few
  doubts that were on their way when it began, not a night.
- **Canary.** The first job of a model goes alone until one is accepted. A wrong parameter or a
  withdrawn model costs one refusal, not a thousand.
- **Breaker.** Ten failures or doubts of one kind in a row, with no success between, stop the
  model. Refused rows say something about rows and do not count; the doubts of one outage are one.

No clock and no I/O: the runner tells what happened and asks what may be done.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

BREAKER_LIMIT = 10


class AdmissionDecision(Enum):
    """What may be done with a job of a model now."""

    GO = auto()
    WAIT = auto()
    """Another job goes alone, or the API is held; ask again after the next event."""
    STOPPED = auto()
    """Not in this run any more."""


@dataclass(slots=True)
class _Streak:
    """Failures of one kind in a row."""

    kind: str = ""
    count: int = 0

    def add(self, kind: str) -> int:
        self.count = self.count + 1 if kind == self.kind else 1
        self.kind = kind
        return self.count

    def end(self) -> None:
        self.kind, self.count = "", 0


@dataclass(slots=True)
class Admission:
    """The state of one run; models are named by their id."""

    held: bool = False
    """An answer was lost, and the API has not been heard since."""
    solo: bool = False
    """The API is heard again; one job goes alone until it is accepted."""
    stopped: dict[str, str] = field(default_factory=dict)
    """Models whose submissions are over for this run, and why."""
    _proven: set[str] = field(default_factory=set)
    _on_their_way: Counter[str] = field(default_factory=Counter)
    _streaks: dict[str, _Streak] = field(default_factory=dict)
    _outage_counted: set[str] = field(default_factory=set)

    def decision(self, model: str) -> AdmissionDecision:
        """Whether a job of this model may be submitted now."""
        if model in self.stopped:
            return AdmissionDecision.STOPPED
        if self.held:
            return AdmissionDecision.WAIT
        if self.solo and self._on_their_way.total():
            return AdmissionDecision.WAIT
        if model not in self._proven and self._on_their_way[model]:
            return AdmissionDecision.WAIT
        return AdmissionDecision.GO

    def sent(self, model: str) -> None:
        """A job of this model is on its way to an answer."""
        self._on_their_way[model] += 1

    def ended(self, model: str) -> None:
        """It has its answer, or was not sent after all. Follows every `sent`."""
        self._on_their_way[model] -= 1

    def accepted(self, model: str) -> None:
        """The API took a job."""
        self._proven.add(model)
        if not self.held:
            self.solo = False
            self._outage_counted.clear()

    def lost(self, model: str, kind: str) -> None:
        """An answer was lost: nothing more until the API is heard again."""
        first_of_outage = not self.held and (self.solo or model not in self._outage_counted)
        self.held = True
        if first_of_outage:
            self._outage_counted.add(model)
            self._count(model, kind)

    def api_answered(self) -> None:
        """A free call was answered: one job may try, alone."""
        if self.held:
            self.held, self.solo = False, True

    def succeeded(self, model: str) -> None:
        """A job came to an output."""
        self._streak(model).end()

    def failed(self, model: str, kind: str) -> None:
        """A job that was accepted failed."""
        self._count(model, kind)

    def withdrawn(self, model: str) -> None:
        """The API does not know the model any more."""
        self.stopped.setdefault(model, "the API no longer has this model")

    def _count(self, model: str, kind: str) -> None:
        if self._streak(model).add(kind) >= BREAKER_LIMIT:
            why = f"{BREAKER_LIMIT} failures in a row of the kind {kind!r}, no success between"
            self.stopped.setdefault(model, why)

    def _streak(self, model: str) -> _Streak:
        return self._streaks.setdefault(model, _Streak())
