"""Admission of a job to submission: hold, canary and breaker, as one fold over events.

- **Hold.** After a lost answer nothing is submitted until a free call shows that the API answers
  again. Then one job is submitted alone, and the rest once it was accepted. So an outage puts only
  those jobs in doubt whose POSTs were on their way when it began, not the whole run.
- **Canary.** The first job of a model is submitted alone until one is accepted. So a wrong
  parameter or a withdrawn model costs one refusal, not a thousand.
- **Breaker.** Ten failures or doubts of one kind in a row, with no success between them, stop the
  model. Refused rows do not count, since they say something about rows and nothing about the model.
  The doubts of one outage count once.

No clock and no I/O: the runner reports what happened and asks what it may do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

BREAKER_LIMIT = 10


class AdmissionDecision(Enum):
    """The answer to whether a job of a model may be submitted now."""

    GO = auto()
    WAIT = auto()
    """Another job is submitted alone, or the run is on hold: ask again after the next event."""
    STOPPED = auto()
    """Not in this run any more."""


@dataclass(slots=True)
class Admission:
    """The state of one run; models are named by their id."""

    held: bool = False
    """An answer was lost, and the API has not answered since."""
    holds: int = 0
    """Number of holds so far: it tells whether one began and ended between two moments."""
    solo: bool = False
    """The API answers again; one job is submitted alone until it is accepted."""
    stopped: dict[str, str] = field(default_factory=dict)
    """Models whose submissions are over for this run, and why."""
    _proven: set[str] = field(default_factory=set)
    _on_their_way: Counter[str] = field(default_factory=Counter)
    _streaks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Model -> the kind of its last failures, and how many there were of that kind in a row."""
    _outage_counted: set[str] = field(default_factory=set)

    def decision(self, model: str) -> AdmissionDecision:
        """Decide whether a job of this model may be submitted now."""
        if model in self.stopped:
            return AdmissionDecision.STOPPED
        solo_is_sent = self.solo and self._on_their_way.total()
        canary_is_sent = model not in self._proven and self._on_their_way[model]
        if self.held or solo_is_sent or canary_is_sent:
            return AdmissionDecision.WAIT
        return AdmissionDecision.GO

    def sent(self, model: str) -> None:
        """Note that a job of this model is about to be submitted."""
        self._on_their_way[model] += 1

    def ended(self, model: str) -> None:
        """Note that it has its answer, or was not submitted after all. Follows every `sent`."""
        self._on_their_way[model] -= 1

    def accepted(self, model: str) -> None:
        """Note that the API accepted a job."""
        self._proven.add(model)
        if not self.held:
            self.solo = False
            self._outage_counted.clear()

    def lost(self, model: str, kind: str) -> None:
        """Note a lost answer: nothing is submitted until the API answers again."""
        first_of_outage = not self.held and (self.solo or model not in self._outage_counted)
        self.holds += not self.held
        self.held = True
        if first_of_outage:
            self._outage_counted.add(model)
            self.failed(model, kind)

    def api_answered(self) -> None:
        """Note that the API answered a free call: one job may be submitted, alone."""
        if self.held:
            self.held, self.solo = False, True

    def succeeded(self, model: str) -> None:
        """Note that a job has an output."""
        self._streaks.pop(model, None)

    def failed(self, model: str, kind: str) -> None:
        """Note that a job failed after it was accepted."""
        last_kind, count = self._streaks.get(model, (kind, 0))
        count = count + 1 if kind == last_kind else 1
        self._streaks[model] = kind, count
        if count >= BREAKER_LIMIT:
            why = f"{BREAKER_LIMIT} failures in a row of the kind '{kind}', no success between"
            self.stopped.setdefault(model, why)

    def withdrawn(self, model: str) -> None:
        """Note that the API does not know the model any more."""
        self.stopped.setdefault(model, "the API no longer has this model")
