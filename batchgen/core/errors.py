"""The exceptions that end a command, each with its exit code (those of sysexits).

`batchgen.cli` turns them into text and an exit code. What goes wrong with one job is not an
exception but a value: a `JobError` in an event (`core.events`), or an answer of the API
(`core.api_answers`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

SHOWN_PROBLEMS = 50
"""Problems that are printed in full; the rest are counted."""

_PLACE = re.compile(r"(?P<file>.+?)(?::(?P<row>\d+))?(?:: (?P<column>.+))?", re.DOTALL)
_COLUMN_LETTER = re.compile(r" \(column [A-Z]+\)$")


class BatchgenError(Exception):
    """The base of all errors that are shown to the user; the message is a whole sentence."""

    exit_code: ClassVar[int] = 70
    reason: ClassVar[str] = "internal error"
    """A few words for programs, among the `reasons` of `--json`."""
    facts: dict[str, object] | None = None
    """Further keys of the object that `--json` prints for this error."""

    def as_json(self) -> dict[str, object]:
        """Return the object that `--json` prints in place of a result."""
        problem = {"file": None, "row": None, "column": None, "message": str(self)}
        return {"problems": [problem], **self._ending()}

    def _ending(self) -> dict[str, object]:
        return {"exit_code": self.exit_code, "reasons": [self.reason], **(self.facts or {})}


class InternalError(BatchgenError):
    """A mistake in this program."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"internal error: {type(error).__name__}: {error}; this is a defect of batchgen."
            " The ledger is valid; to resume, run the same command again. -vv shows where it"
            " happened."
        )


class UsageError(BatchgenError):
    """The command line is wrong, or a keyword of the Python interface."""

    exit_code = 64
    reason = "bad command line"


class Cause(StrEnum):
    """A cause that leads to problems in many rows, each with other words."""

    NO_MODEL = "no model"
    REPEATED_ID = "repeated id"
    NO_KEY = "no key"


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a manifest: where it is, what is wrong, and what would be right."""

    where: str
    """`file`, `file:row` or `file:row: column`, as the spreadsheet numbers its rows."""
    what: str
    cause: Cause | None = None

    @property
    def place(self) -> tuple[str, int | None, str | None]:
        """File, row and column; row and column are None for a whole file."""
        found = _PLACE.fullmatch(self.where)
        file, row, column = found.groups() if found else (self.where, None, None)
        return file, None if row is None else int(row), column

    @property
    def file(self) -> str:
        """The manifest, or a file that it names."""
        return self.place[0]

    @property
    def row(self) -> int | None:
        """The row, as the spreadsheet numbers it; None if it is not about one row."""
        return self.place[1]

    @property
    def column(self) -> str | None:
        """The column or key; None if it is not about one."""
        column = self.place[2]
        return None if column is None else _COLUMN_LETTER.sub("", column)

    @property
    def message(self) -> str:
        """The mistake, and what would be right."""
        return self.what

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"

    def as_json(self) -> dict[str, object]:
        """Return the keys that `--json` prints; row and column are null for a whole file."""
        return {name: getattr(self, name) for name in ("file", "row", "column", "message")}


class ManifestError(BatchgenError):
    """Rows or settings of a manifest are wrong; it carries every problem, not only the first."""

    exit_code = 65
    reason = "bad manifest"
    consequence = "nothing was submitted"
    way_out = ""
    """What the user can do besides correcting the rows."""

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        """The problems that are shown, in the order of the file."""
        self.total = len(self.problems) if total is None else total
        """The number of all problems; if there are very many, not all are shown."""
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if hidden := self.total - len(self.problems):
            lines.append(f"... and {hidden:,} more problem{'s' if hidden > 1 else ''}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return the object that `--json` prints: every problem that is shown, and their number."""
        problems = [problem.as_json() for problem in self.problems]
        return {"problems": problems, "problem_count": self.total, **self._ending()}


class LedgerError(BatchgenError):
    """The ledger cannot be used as it is."""

    exit_code = 65
    reason = "ledger not usable"


class LedgerDamaged(LedgerError):
    """A line of the ledger, other than a torn last one, cannot be read."""

    reason = "ledger damaged"


class LedgerForeign(LedgerError):
    """The ledger belongs to another API, version or program."""

    reason = "ledger of another API"


class PaidFor(LedgerError):
    """Two ledgers have a paid request for the same job and input."""

    reason = "paid twice"


class LedgerMissing(LedgerError):
    """There is no ledger in a run directory that should have one."""

    reason = "no ledger"

    def __init__(self, run_dir: object) -> None:
        super().__init__(f"{run_dir}: no ledger here; is this the right --run-dir?")


class LedgerNotWhereItWas(LedgerError):
    """There is no ledger in a place where there was one with paid jobs."""

    def __init__(self, run_dir: str, *, moved_to: str | None = None) -> None:
        known = f" A later one is {moved_to}: add --run-dir {moved_to}." if moved_to else ""
        super().__init__(
            f"{run_dir}: there is no ledger here any more, although jobs of this batch were paid"
            " for and recorded here. Nothing was submitted. Is the disk mounted? Was the directory"
            f" moved or renamed?{known} To continue with a moved directory, add --run-dir DIR; to"
            " start again and pay for every job, add --new-ledger"
        )


class ShardConflict(LedgerError):
    """A batch has begun in other parts than those that are meant now."""


class DirectoryNotFound(BatchgenError):
    """A run directory that was named does not exist."""

    exit_code = 66
    reason = "run directory not found"


class ManifestNotFound(BatchgenError):
    """The manifest, or a file that it names, does not exist or cannot be read."""

    exit_code = 66
    reason = "manifest not found"


WORSE_THAN_NO_MANIFEST = frozenset({69, 70, 74, 77, 129, 130, 143})
"""Exit codes that stay if the manifest could not be fetched either: API, disk, token, signals."""


class MissingExtra(BatchgenError):
    """A library is needed that is only installed on request."""

    exit_code = 65
    reason = "missing extra"


class NoWorkers(BatchgenError):
    """No cluster was found, or none of its workers can be used."""

    exit_code = 69
    reason = "no workers"


class ServiceUnreachable(BatchgenError):
    """The API did not answer, so nothing could be done."""

    exit_code = 69
    reason = "API not reachable"


class LocalIOError(BatchgenError):
    """A local file could not be read or written: disk full, no permission, failed fsync."""

    exit_code = 74
    reason = "local disk"


class LockHeld(BatchgenError):
    """Another process is using this run directory."""

    exit_code = 75
    reason = "run directory in use"


class TokenMissing(BatchgenError):
    """A token is needed and there is none, or the API rejected it."""

    exit_code = 77
    reason = "token missing or rejected"


class HungUp(BatchgenError):
    """SIGHUP ended the command: its terminal went away."""

    exit_code = 129
    reason = "hung up"


class Interrupted(BatchgenError):
    """SIGINT ended the command."""

    exit_code = 130
    reason = "interrupted"


class Terminated(BatchgenError):
    """SIGTERM ended the command."""

    exit_code = 143
    reason = "terminated"


def defect_sentence(defect: Exception) -> str:
    """Return a sentence on an exception that nobody expected: its type and place.

    Its own text is left out, because it may repeat what came from outside.
    """
    frames = traceback.extract_tb(defect.__traceback__)
    place = f" in {frames[-1].name} (line {frames[-1].lineno})" if frames else ""
    return f"a defect of batchgen, please report it: {type(defect).__name__}{place}"
