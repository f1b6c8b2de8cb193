"""A measured figure with its target, and a table of them as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: the same thing measured several times in one run."""

    name: str
    against: str
    """What it is compared with, on the same work in the same run."""
    values: tuple[float, ...]
    target: float
    at_least: bool = True
    """Whether more is better; otherwise the target is the most that is allowed."""
    unit: str = "x"

    @property
    def is_met(self) -> bool:
        """Tell whether the median reaches the target."""
        middle = median(self.values)
        return middle >= self.target if self.at_least else middle <= self.target

    def as_json(self) -> dict[str, object]:
        """Return everything as one JSON object."""
        return {
            "name": self.name, "against": self.against, "unit": self.unit,
            "minimum": min(self.values), "median": median(self.values),
            "maximum": max(self.values), "values": list(self.values), "target": self.target,
            "at_least": self.at_least, "met": self.is_met,
        }  # fmt: skip


def interleaved(rounds: int, *sides: Callable[[], float]) -> list[tuple[float, ...]]:
    """Call every side once in each round, in turn, and return what they measured by side."""
    measured = [tuple(side() for side in sides) for _ in range(rounds)]
    return list(zip(*measured, strict=True))


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


HEAD = f"{'figure':<52} {'min':>8} {'median':>8} {'max':>8}  {'target':>9}  against"


def line_of(figure: Figure) -> str:
    """Return a figure as one line of the table."""
    low, middle, high = min(figure.values), median(figure.values), max(figure.values)
    sign = ">=" if figure.at_least else "<="
    mark = " " if figure.is_met else "!"
    name = f"{figure.name} ({figure.unit})"
    return (
        f"{name:<52} {low:>8.2f} {middle:>8.2f} {high:>8.2f} {mark} {sign} {figure.target:<6g}"
        f" {figure.against}"
    )


def json_of(figures: Iterable[Figure]) -> bytes:
    """Return all figures as a JSON list."""
    encoded = msgspec.json.encode([figure.as_json() for figure in figures])
    return msgspec.json.format(encoded, indent=1) + b"\n"
