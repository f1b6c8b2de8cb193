"""The exceptions that reach a person, each with its exit code (those of sysexits).

    BatchgenError
    ├── UsageError            64  the command line is wrong
    ├── ManifestError         65  rows or settings are wrong; carries every problem
    ├── LedgerError           65
    │   ├── LedgerDamaged         a bad line that is not the torn tail
    │   └── LedgerForeign         written for another API or by another program
    ├── ManifestNotFound      66  no such file, or not readable
    ├── ServiceUnreachable    69  nothing answered, nothing could be done
    ├── LocalIOError          74  disk full, no permission, failed fsync
    ├── LockHeld              75  another run has this run directory
    ├── TokenMissing          77  no token, or the token was rejected
    ├── Interrupted          130  SIGINT before anything had begun
    └── Terminated           143  SIGTERM before anything had begun

What goes wrong with one job is no exception but a value, a `JobError` inside an event
(`core.events`). What the API answered is a value too (`core.answers`). Exceptions are for what
ends a command. They are turned into text and an exit code in one place, `batchgen.cli`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class BatchgenError(Exception):
    """Base of all errors that are shown to a person; the message is a whole sentence."""

    exit_code: ClassVar[int] = 70


class UsageError(BatchgenError):
    """The command line is wrong."""

    exit_code = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a manifest: where, what, and what would be right."""

    where: str
    """`file`, `file:row` or `file:row: column`, as the spreadsheet numbers its rows."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ManifestError(BatchgenError):
    """Rows or settings of a manifest are wrong; says all of it at once."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        """The problems that are shown, in the order of the file."""
        self.total = len(self.problems) if total is None else total
        """How many there are in all; more than are shown where there are very many."""
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if hidden := self.total - len(self.problems):
            lines.append(f"... and {hidden:,} more problem{'s' if hidden > 1 else ''}")
        return "\n".join(lines)


class LedgerError(BatchgenError):
    """The ledger cannot be used as it is."""

    exit_code = 65


class LedgerDamaged(LedgerError):
    """A line of the ledger, other than a torn last one, cannot be read."""


class LedgerForeign(LedgerError):
    """The ledger belongs to another API, version or program."""


class ManifestNotFound(BatchgenError):
    """The manifest, or a file that it names, does not exist or cannot be read."""

    exit_code = 66


class ServiceUnreachable(BatchgenError):
    """Nothing answered, so nothing could be done."""

    exit_code = 69


class LocalIOError(BatchgenError):
    """The local disk refused: full, read-only, no permission, failed fsync."""

    exit_code = 74


class LockHeld(BatchgenError):
    """Another process runs this run directory."""

    exit_code = 75


class TokenMissing(BatchgenError):
    """There is no token where one is needed, or the API rejected it."""

    exit_code = 77


class Interrupted(BatchgenError):
    """SIGINT ended the command before it had begun to work."""

    exit_code = 130


class Terminated(BatchgenError):
    """SIGTERM ended the command before it had begun to work."""

    exit_code = 143
