"""The run directory: where a batch keeps everything, and what its files are called.

It is `--run-dir`, the manifest's `run_dir`, or `<stem>.run` beside the manifest. A `run_dir` with
`{{ date }}` means one directory per date; the earlier ones are found by the same pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.core.errors import LocalIOError, ManifestError, Problem, UsageError
from batchgen.core.schema import InvalidValue
from batchgen.ledger import begun_at
from batchgen.manifest import ManifestSettings
from batchgen.manifest.templates import Template

SANDBOX_SUFFIX = ".sandbox"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NO_DATE = "0000-00-00"
_PLACEHOLDER = "\ue000"
"""Stands for the date while the template of `run_dir` is split; no path has this character."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run directory; the only place that knows the names of the files in it."""

    path: Path

    @property
    def ledger(self) -> Path:
        """Every step of every job, append-only."""
        return self.path / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        """The file whose lock makes a run the only writer."""
        return self.path / "ledger.lock"

    @property
    def disk_reserve(self) -> Path:
        """Room that is set aside for answers to what was paid for, should the disk be full."""
        return self.path / "ledger.reserve"

    @property
    def run_file(self) -> Path:
        """The flags that shaped the jobs."""
        return self.path / "run.json"

    @property
    def jobs_file(self) -> Path:
        """The ids of the jobs with which a dated directory began."""
        return self.path / "jobs.jsonl"

    @property
    def schemas(self) -> Path:
        """The schemas that were used first, one file per model."""
        return self.path / "schemas"

    @property
    def outputs(self) -> Path:
        """The files of the jobs, unless the manifest's `output.dir` names another place."""
        return self.path / "outputs"

    @property
    def downloads(self) -> Path:
        """Unfinished downloads and the notes to resume them."""
        return self.path / "downloads"

    @property
    def results(self) -> Path:
        """The user's columns with the state, files and cost of each job."""
        return self.path / "results.csv"

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def sandbox_journal(self) -> Path:
        """The jobs of the sandbox in this process, so that a sandbox run resumes too."""
        return self.path / "sandbox.jsonl"

    @property
    def title(self) -> str:
        """The name of the batch, for people."""
        return self.path.name.removesuffix(SANDBOX_SUFFIX).removesuffix(".run")

    @property
    def has_ledger(self) -> bool:
        """Whether a run has ever begun here."""
        return self.ledger.exists()

    def create(self) -> None:
        """Create the directory if it does not exist. Raises `LocalIOError`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectories:
    """All run directories of a batch: one, or one per date."""

    before: str
    """The path up to the date; the whole path if there is no date in it."""
    after: str | None = None
    """What follows the date; None if there is no date in the path."""
    sandbox: bool = False

    @property
    def are_dated(self) -> bool:
        """Whether each date has a directory of its own."""
        return self.after is not None

    def on(self, date: str) -> RunDirectory:
        """Return the directory for a date, `2026-11-22`; without dates the only directory."""
        path = Path(self.before if self.after is None else f"{self.before}{date}{self.after}")
        return RunDirectory(path.with_name(path.name + self._suffix))

    def dated(self) -> list[tuple[str, RunDirectory]]:
        """Return the directories that exist, by date, the oldest first."""
        if self.after is None:
            return []
        pattern = Path(f"{escape(self.before)}*{escape(self.after)}{self._suffix}")
        anchor = Path(pattern.anchor)
        found = []
        for path in anchor.glob(str(pattern.relative_to(anchor))):
            date = str(path).removeprefix(self.before)[:10]
            if _DATE.fullmatch(date) and self.on(date).path == path and path.is_dir():
                found.append((date, RunDirectory(path)))
        return sorted(found, key=lambda one: one[0])

    def begun(self) -> list[RunDirectory]:
        """Return the directories in which a run has begun, in the order in which they were begun.

        By the moment, not by the date in the name: a clock that was set back, or a machine in
        another time zone, gives a later directory an earlier name.
        """
        dated = [one for _, one in self.dated()] if self.are_dated else [self.on(_NO_DATE)]
        found = [one for one in dated if one.has_ledger]
        return sorted(found, key=lambda one: begun_at(one.ledger) or "")

    def newest(self) -> RunDirectory:
        """Return the directory that was begun last; for commands that are about one directory."""
        begun = self.begun()
        if begun:
            return begun[-1]
        dated = self.dated()
        return dated[-1][1] if dated else self.on(_NO_DATE)

    @property
    def _suffix(self) -> str:
        return SANDBOX_SUFFIX if self.sandbox else ""


def default_directories(ref: BatchRef) -> RunDirectories:
    """Return the directory that flags and the manifest's name give.

    Raises `UsageError` for a manifest from stdin without `--run-dir`.
    """
    if ref.run_dir is not None:
        path = ref.run_dir
    elif ref.is_stdin:
        raise UsageError("a manifest from stdin needs --run-dir DIR")
    else:
        path = Path(ref.manifest)
        path = path.with_name(f"{path.stem}.run")
    return RunDirectories(before=str(path), sandbox=ref.sandbox)


def named_directories(ref: BatchRef, settings: ManifestSettings) -> RunDirectories:
    """Return the directories that the manifest's `run_dir` names, or else the default.

    Raises `ManifestError` for a `run_dir` that is not a valid template.
    """
    if ref.run_dir is not None or settings.run_dir is None:
        return default_directories(ref)
    try:
        text = Template(settings.run_dir).render({"date": _PLACEHOLDER})
    except InvalidValue as error:
        raise _wrong(settings, str(error)) from None
    base = Path() if ref.is_stdin else Path(ref.manifest).parent
    before, date, after = str(base / text).partition(_PLACEHOLDER)
    if _PLACEHOLDER in after:
        raise _wrong(settings, "names the date twice; once is enough")
    return RunDirectories(before=before, after=after if date else None, sandbox=ref.sandbox)


def _wrong(settings: ManifestSettings, what: str) -> ManifestError:
    return ManifestError([Problem(where=settings.where("run_dir"), what=what)])
