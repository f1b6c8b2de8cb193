"""The other run directories of a dated batch: where a job is that a command did not find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from batchgen.app.run_directories import RunDirectories
from batchgen.core.lifecycle import JobRecord
from batchgen.ledger.replay import replay
from batchgen.system.run_directory import RunDirectory


def newest_with(
    directories: RunDirectories, matches: Callable[[JobRecord], bool]
) -> RunDirectory | None:
    """Return the directory begun last that has such a job; None if there is none."""
    return next(_with(directories, matches), None)


def hint_at_others(
    directories: RunDirectories, found_none_in: RunDirectory, matches: Callable[[JobRecord], bool]
) -> str:
    """Return `; runs/2026-11-21 has such jobs: add --run-dir ...` or an empty text."""
    others = [one for one in _with(directories, matches) if one != found_none_in]
    if not others:
        return ""
    names = ", ".join(str(one) for one in others)
    verb = "has" if len(others) == 1 else "have"
    return f"; {names} {verb} one: add --run-dir {others[0]}"


def _with(
    directories: RunDirectories, matches: Callable[[JobRecord], bool]
) -> Iterator[RunDirectory]:
    for directory in reversed(directories.begun()):
        if any(matches(record) for record in replay(directory.ledger).index.records()):
            yield directory
