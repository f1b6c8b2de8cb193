"""Counts of everything that was done, and of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """The counts of all batches together."""

    batches: int = 0
    runs: int = 0
    at_work: int = 0
    """Kills of a run that had written to the ledger."""
    kills: Counter[str] = field(default_factory=Counter)
    """By cause: a signal, or the name of a crash point."""
    codes: Counter[int] = field(default_factory=Counter)
    """Exit codes of runs that ended by themselves."""
    steps: Counter[str] = field(default_factory=Counter)
    """Steps between and beside the runs."""
    directories: int = 0
    jobs: int = 0
    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    """Jobs in doubt, by what explains them."""
    unnamed: int = 0
    """Accepted requests that no line of a ledger names: each explains a doubt."""
    files: int = 0
    parts: int = 0
    """Unfinished downloads left in the output directories at the end: useless, but harmless."""
    final_calls: int = 0
    wrong: list[str] = field(default_factory=list)
    """One sentence for each finding."""

    @property
    def killed(self) -> int:
        """Number of kills of all kinds."""
        return self.kills.total()

    def lines(self) -> Iterator[str]:
        """Yield the summary, line by line."""
        yield f"kills        {self.killed:,} ({self.at_work:,} of them at work): {_of(self.kills)}"
        yield f"runs         {self.runs:,}; ended by themselves: {_of(self.codes, 'exit {}')}"
        yield f"besides      {_of(self.steps)}"
        where = f"{self.batches:,} in {self.directories:,} run directories"
        yield f"batches      {where}, {self.jobs:,} jobs: {_of(self.states)}"
        yield f"accepted     {self.accepted:,} submissions, by the sandbox's own count"
        was = f"{self.unnamed:,} of them had been accepted"
        yield f"in doubt     {self.doubts.total():,} ({was}): {_of(self.doubts)}"
        litter = f"; {self.parts:,} unfinished ones left" if self.parts else ""
        yield f"files        {self.files:,} checked against their sha256{litter}"
        yield f"final runs   {self.final_calls:,} calls"


def _of(counts: Counter[str] | Counter[int], name: str = "{}") -> str:
    parts = (f"{count:,} {name.format(key)}" for key, count in counts.most_common())
    return ", ".join(parts) or "none"
