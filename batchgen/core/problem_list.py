"""The problems of a manifest as they are reported: the first ones, one line for many equal ones.

A mistake in a thousand rows is one mistake. So what is the same in every row of a file, or in very
many of them, is one problem that names its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from batchgen.core.errors import SHOWN_PROBLEMS, Cause, Problem

EVERY_ROW = 10
"""From so many rows on, what is the same in every row of a file is one problem."""
MANY_ROWS = 100
"""From so many rows on, what is the same in some rows of a file is one problem."""
FEW_ROWS = {Cause.NO_MODEL: 2, Cause.REPEATED_ID: 4}
"""The same for causes of which each row is certain to tell the user nothing new."""
FEW_IF_EVERY_ROW = 2
"""From so many rows on, a key that every row of a file lacks is one problem."""
MAX_KINDS = 5_000
"""Kinds of problems that are kept; the rest is counted."""
_SHOWN_RANGES = 3

_Kind = tuple[str, str | None, str]
"""File, column, and what is wrong."""


@dataclass(slots=True)
class _Group:
    """Problems of one kind."""

    kind: _Kind
    cause: Cause | None
    rows: int = 0
    first: list[tuple[int, Problem]] = field(default_factory=list)
    """The first of them, each with its number among all problems."""
    ranges: list[list[int]] = field(default_factory=list)
    """First and last row of each range of rows; one more than is shown."""

    def add(self, number: int, problem: Problem, row: int | None) -> None:
        self.rows += 1
        if len(self.first) < SHOWN_PROBLEMS:
            self.first.append((number, problem))
        if row is None:
            return
        if self.ranges and row == self.ranges[-1][1] + 1:
            self.ranges[-1][1] = row
        elif len(self.ranges) <= _SHOWN_RANGES:
            self.ranges.append([row, row])

    def as_one(self) -> Problem:
        """Return one problem for all of them, which names their rows."""
        shown = [f"{a} to {b}" if b > a else str(a) for a, b in self.ranges[:_SHOWN_RANGES]]
        if len(self.ranges) > _SHOWN_RANGES:
            shown.append("...")
        rows = f": {', '.join(shown)}" if shown else ""
        _, problem = self.first[0]
        return replace(problem, what=f"{problem.what} (in {self.rows:,} rows{rows})")


class ProblemList:
    """Problems in the order in which they were found."""

    def __init__(self) -> None:
        self._groups: dict[_Kind, _Group] = {}
        self._count = 0
        self._uncounted = 0
        """Problems of kinds that are not kept."""
        self._bad_rows: Counter[str] = Counter()
        self._good_files: set[str] = set()

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, problems: Iterable[Problem]) -> None:
        """Add problems that are not those of a row, or of one row only."""
        for problem in problems:
            self._count += 1
            file, row, column = problem.place
            kind = (file, column, problem.cause or problem.what)
            group = self._groups.get(kind)
            if group is None:
                if len(self._groups) >= MAX_KINDS:
                    self._uncounted += 1
                    continue
                group = self._groups[kind] = _Group(kind, problem.cause)
            group.add(self._count, problem, row)

    def add_row(self, file: str, problems: Iterable[Problem]) -> None:
        """Add the problems of one row of a file."""
        self._bad_rows[file] += 1
        self.add(problems)

    def add_good_row(self, file: str) -> None:
        """Note that a file has a row without problems."""
        self._good_files.add(file)

    def has(self, cause: Cause) -> bool:
        """Return whether there is a problem with this cause."""
        return any(group.cause is cause for group in self._groups.values())

    def say_more(self, cause: Cause, text: str) -> None:
        """Add a text to each problem with this cause."""
        for group in self._groups.values():
            if group.cause is cause:
                group.first = [(n, replace(one, what=one.what + text)) for n, one in group.first]

    def shown(self, most: int | None = SHOWN_PROBLEMS) -> tuple[list[Problem], int]:
        """Return the first problems (None: all that are kept), and how many there are."""
        found: list[tuple[int, Problem]] = []
        total = self._uncounted
        for group in self._groups.values():
            if self._is_one(group):
                found.append((group.first[0][0], group.as_one()))
                total += 1
            else:
                found += group.first
                total += group.rows
        found.sort(key=lambda one: one[0])
        return [problem for _, problem in found[:most]], total

    def _is_one(self, group: _Group) -> bool:
        file = group.kind[0]
        if group.cause in FEW_ROWS:
            return group.rows >= FEW_ROWS[group.cause]
        is_every = file not in self._good_files and group.rows == self._bad_rows[file]
        every = FEW_IF_EVERY_ROW if group.cause is Cause.NO_KEY else EVERY_ROW
        return group.rows >= (every if is_every else MANY_ROWS)
