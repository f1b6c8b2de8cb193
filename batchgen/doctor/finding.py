"""Findings: facts about this machine or batch, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from batchgen.core.errors import BatchgenError, ManifestError


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Good to know."""
    WARNING = "warning"
    """A run could begin, and something would be worse than it need be."""
    FAULT = "fault"
    """A run could not begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact that was found."""

    check: str
    """The thing that was looked at, in one or two words."""
    level: Level
    text: str
    advice: str = ""
    """The thing to do; empty if there is none, or if the text says it."""
    exit_code: int = 0
    """Of a fault: the code that a run would end with."""
    reason: str = ""

    def as_warning(self) -> Finding:
        """Return a fault as what it is to a run that need not get that far."""
        if self.level is not Level.FAULT:
            return self
        return replace(self, level=Level.WARNING, exit_code=0, reason="")

    def as_json(self) -> dict[str, object]:
        """Return the keys that `--json` prints."""
        names = ("check", "level", "text", "advice", "exit_code")
        return {name: getattr(self, name) for name in names}


def ok(check: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(check=check, level=Level.OK, text=text)


def note(check: str, text: str, advice: str = "") -> Finding:
    """Return something that is good to know."""
    return Finding(check=check, level=Level.NOTE, text=text, advice=advice)


def warning(check: str, text: str, advice: str) -> Finding:
    """Return something that makes runs worse."""
    return Finding(check=check, level=Level.WARNING, text=text, advice=advice)


def faults(check: str, error: BatchgenError, advice: str = "") -> Iterator[Finding]:
    """Yield what an error says that a run would end with: each problem of a manifest by itself."""
    texts: Sequence[str] = [str(error)]
    if isinstance(error, ManifestError):
        texts = [str(problem) for problem in error.problems]
        if hidden := error.total - len(texts):
            texts.append(f"and {hidden:,} more problems")
    for text in texts:
        yield Finding(
            check=check, level=Level.FAULT, text=text, advice=advice,
            exit_code=error.exit_code, reason=error.reason,
        )  # fmt: skip
