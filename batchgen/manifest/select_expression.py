"""Expressions of `--select`, which choose rows by the cells of their columns.

    style = anime and scale > 0.5 and state = failed

`=` and `!=` compare without case, numbers as numbers; `~` finds a text in the cell; `<` and `>`
compare numbers, or texts if one side is not a number. Conditions on `state` are separate: the
state of a job is in the ledger, not in the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import UsageError
from batchgen.core.lifecycle import JobState
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.header import folded

_CONDITION = re.compile(
    r"\s*(?P<column>[^=!~<>]+?)\s*(?P<op>!=|[=~<>])\s*(?P<value>.*?)\s*", re.DOTALL
)
_AND = re.compile(
    r"""\s+and\s+(?=(?:[^"]*"[^"]*")*[^"]*$)(?=(?:[^']*'[^']*')*[^']*$)""", re.IGNORECASE
)
STATES = (*(state.value for state in JobState), "invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One `COLUMN OP VALUE`."""

    column: str
    op: str
    value: str

    def holds(self, cell: str) -> bool:
        """Return whether a cell's text meets it."""
        return _OPS[self.op](canonical_text(cell), self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A parsed `--select` expression."""

    text: str
    conditions: tuple[Condition, ...]
    """On the row's columns."""
    state_conditions: tuple[Condition, ...]
    """On the job's state."""

    def renamed(self, columns: Mapping[str, object]) -> Selection:
        """Return the same selection with the spreadsheet's own column names for our words."""
        conditions = []
        for one in self.conditions:
            source = columns.get(one.column)
            name = folded(source) if isinstance(source, str) else one.column
            conditions.append(replace(one, column=name))
        return replace(self, conditions=tuple(conditions))

    def matches_state(self, state: str) -> bool:
        """Return whether a job in this state is selected."""
        return all(one.holds(state) for one in self.state_conditions)

    def matches(self, columns: Mapping[str, str]) -> bool:
        """Return whether a row with these cells is selected; a column that it lacks is empty."""
        if not self.conditions:
            return True
        cells = {folded(name): cell for name, cell in columns.items()}
        return all(one.holds(cells.get(one.column, "")) for one in self.conditions)


def parse_selection(text: str) -> Selection:
    """Return the parsed expression; raise `UsageError` if it cannot be parsed."""
    found = [_condition(part, text) for part in _AND.split(text)]
    return Selection(
        text=text,
        conditions=tuple(one for one in found if one.column != "state"),
        state_conditions=tuple(one for one in found if one.column == "state"),
    )


def _condition(part: str, text: str) -> Condition:
    match = _CONDITION.fullmatch(part)
    if match is None:
        raise UsageError(
            f"--select {text!r}: {part.strip()!r} is not a condition; write COLUMN OP VALUE, "
            "joined by `and`, with OP one of = != ~ < >"
        )
    column, value = folded(match["column"]), _unquoted(match["value"])
    if column == "state" and match["op"] in ("=", "!=") and value.casefold() not in STATES:
        hint = did_you_mean(value, STATES) or f"; states are {', '.join(STATES)}"
        raise UsageError(f"--select {text!r}: no state {value!r}{hint}")
    return Condition(column=column, op=match["op"], value=canonical_text(value))


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _equal(cell: str, value: str) -> bool:
    if cell.casefold() == value.casefold():
        return True
    number = _number(cell)
    return number is not None and number == _number(value)


def _less(cell: str, value: str) -> bool:
    if not cell:
        return False
    left, right = _number(cell), _number(value)
    if left is not None and right is not None:
        return left < right
    return cell.casefold() < value.casefold()


def _greater(cell: str, value: str) -> bool:
    return bool(cell) and not _less(cell, value) and not _equal(cell, value)


_OPS: dict[str, Callable[[str, str], bool]] = {
    "=": _equal,
    "!=": lambda cell, value: not _equal(cell, value),
    "~": lambda cell, value: value.casefold() in cell.casefold(),
    "<": _less,
    ">": _greater,
}
