"""The run directories of a batch: `--run-dir`, the manifest's `run_dir`, or `<stem>.run` beside it.

A `run_dir` with `{{ date }}` means one directory per date; the earlier ones are found by the same
pattern.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.core.errors import ManifestError, Problem, ShardConflict, UsageError
from batchgen.core.schema.values import InvalidValue
from batchgen.core.shards import Shard, split_suffix
from batchgen.ledger.replay import begun_at
from batchgen.manifest.file_access import refuse_directory
from batchgen.manifest.formats.media_directory import is_media_directory
from batchgen.manifest.settings import ManifestSettings
from batchgen.manifest.templates import Template
from batchgen.system.run_directory import SANDBOX_SUFFIX, RunDirectory

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NO_DATE = "{{ date }}"
_PLACEHOLDER = "\ue000"
"""Stands for the date while the template of `run_dir` is split; no path has this character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectories:
    """All run directories of a batch: one, or one per date."""

    before: str
    """The path up to the date; the whole path if there is no date in it."""
    after: str | None = None
    """What follows the date; None if there is no date in the path."""
    sandbox: bool = False
    shard: Shard | None = None
    """The part of the batch that the directories are of; None: of all of it."""

    def as_a_whole(self) -> RunDirectories:
        """Return the directories of the same batch without shards."""
        return replace(self, shard=None)

    def begun_shards(self) -> list[tuple[RunDirectory, Shard, RunDirectory]]:
        """Return the shards that have begun: the directory of the whole, the part, its own.

        Those of all dates, and of any number of parts.
        """
        sandbox = SANDBOX_SUFFIX if self.sandbox else ""
        date = "" if self.after is None else "*" + escape(self.after)
        pattern = Path(f"{escape(self.before)}{date}{sandbox}.shard-*-of-*")
        found = []
        for path in sorted(_globbed(pattern)):
            name, shard = split_suffix(path.name)
            one, whole = RunDirectory(path), RunDirectory(path.with_name(name))
            if shard is not None and one.has_ledger and self._has(whole):
                found.append((whole, shard, one))
        return found

    def _has(self, whole: RunDirectory) -> bool:
        """Tell whether a directory would be one of this batch without shards."""
        if self.after is None:
            return True
        date = str(whole.path).removeprefix(self.before)[:10]
        return bool(_DATE.fullmatch(date)) and self.as_a_whole().on(date) == whole

    @property
    def are_dated(self) -> bool:
        """Tell whether each date has a directory of its own."""
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
        found = []
        for path in _globbed(pattern):
            date = str(path).removeprefix(self.before)[:10]
            if _DATE.fullmatch(date) and self.on(date).path == path and path.is_dir():
                found.append((date, RunDirectory(path)))
        return sorted(found, key=lambda one: one[0])

    def date_of(self, directory: RunDirectory) -> str:
        """Return the date of a directory that exists; empty if the directories are not dated."""
        return next((date for date, one in self.dated() if one == directory), "")

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

    def others(self, directory: RunDirectory) -> list[RunDirectory]:
        """Return the directories in which a run has begun, but for this one, however spelled."""
        place = os.path.realpath(directory.path)
        return [one for one in self.begun() if os.path.realpath(one.path) != place]

    def includes(self, directory: RunDirectory) -> bool:
        """Tell whether a directory, which need not exist, is that of a date."""
        place = os.path.realpath(directory.path)
        dates = _DATE.findall(place) if self.are_dated else ()
        return any(os.path.realpath(self.on(date).path) == place for date in dates)

    @property
    def _suffix(self) -> str:
        shard = "" if self.shard is None else self.shard.suffix
        return (SANDBOX_SUFFIX if self.sandbox else "") + shard


def _globbed(pattern: Path) -> Iterator[Path]:
    anchor = Path(pattern.anchor)
    return anchor.glob(str(pattern.relative_to(anchor)))


def default_directories(ref: BatchRef) -> RunDirectories:
    """Return the directory that flags and the manifest's name give.

    Raises `UsageError` for a manifest from stdin without `--run-dir`, and `ManifestNotFound` for a
    directory in place of a manifest.
    """
    shard = ref.row_options.shard
    if ref.run_dir is not None:
        path, shard = _of_shard(ref.run_dir, shard)
    elif ref.is_stdin:
        raise UsageError("a manifest from stdin needs --run-dir DIR")
    else:
        path = Path(ref.manifest)
        if is_media_directory(path):
            path = path if path.name else path.absolute()
            path = path.with_name(f"{path.name}.run")
        else:
            refuse_directory(path, ref.manifest)
            path = path.with_name(f"{path.stem}.run")
    return RunDirectories(before=str(path), sandbox=ref.sandbox, shard=shard)


def _of_shard(run_dir: Path, shard: Shard | None) -> tuple[Path, Shard | None]:
    """Return what `--run-dir` names without shards, and the part: also one that its name says.

    Raises `ShardConflict` if its name says another part than the flag.
    """
    name, named = split_suffix(run_dir.name)
    if named is None:
        return run_dir, shard
    if shard not in (None, named):
        raise ShardConflict(f"{run_dir}: is the directory of shard {named}, not of {shard}")
    return run_dir.with_name(name), named


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
    return RunDirectories(
        before=before, after=after if date else None, sandbox=ref.sandbox,
        shard=ref.row_options.shard,
    )  # fmt: skip


def _wrong(settings: ManifestSettings, what: str) -> ManifestError:
    return ManifestError([Problem(where=settings.where("run_dir"), what=what)])
