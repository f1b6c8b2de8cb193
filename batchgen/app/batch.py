"""A manifest, read to its end, checked and spooled; and where its run directory is."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from batchgen.app.filenames import FileNames
from batchgen.app.options import Target
from batchgen.core.errors import LocalIOError, ManifestError, Problem
from batchgen.core.jobs import Job
from batchgen.manifest import BadRow, Manifest
from batchgen.spool import Row, Spool

SHOWN_PROBLEMS = 50


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A manifest that was read to its end."""

    manifest: Manifest
    spool: Spool
    names: FileNames
    models: dict[str, None] = field(default_factory=dict)
    """Every model that a row names, in the order of their first rows."""
    problems: list[Problem] = field(default_factory=list)
    """The first `SHOWN_PROBLEMS`."""
    problem_count: int = 0
    fatal: bool = False
    """Something is wrong with a file as a whole, which leaving out rows does not mend."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    @property
    def matches_state(self) -> Callable[[str], bool] | None:
        """What `--select` asks of a job's state; None where it asks nothing."""
        selection = self.manifest.selection
        return selection.matches_state if selection and selection.state_conditions else None

    def require_valid(self, *, skip_invalid: bool) -> None:
        """Raises `ManifestError` where anything is wrong that may not be left out."""
        may_skip = skip_invalid and self.spool.valid and not self.fatal
        if self.problem_count and not may_skip:
            raise ManifestError(self.problems, self.problem_count)


def load(
    manifest: Manifest, target: Target, *, spool_dir: Path | None = None, keep: bool = True
) -> Loaded:
    """Read and check every row; without `keep` only to say what is wrong.

    To be closed after use (`with`). Raises `ManifestError` for what makes reading on pointless.
    """
    spool = Spool(_spool_directory(spool_dir, manifest.base_dir), keep=keep)
    loaded = Loaded(manifest=manifest, spool=spool, names=FileNames(manifest.head))
    with ExitStack() as on_error:
        on_error.enter_context(loaded)
        _read_rows(loaded, target.manifest)
        on_error.pop_all()
    return loaded


def _read_rows(loaded: Loaded, path: str) -> None:
    for row in loaded.manifest.rows():
        if isinstance(row, BadRow):
            _add_bad(loaded, row)
        elif problem := loaded.names.add(row):
            bad = BadRow(where=row.where, problems=(problem,), columns=row.columns, id=row.id)
            _add_bad(loaded, bad)
        else:
            loaded.models[row.model] = None
            loaded.spool.add(_spooled(row))
    if not (loaded.spool.valid or loaded.problem_count):
        problem = Problem(where=path, what="no rows; a batch needs at least one prompt")
        raise ManifestError([problem])


def _spool_directory(*candidates: Path | None) -> Path | None:
    """On the disk that the batch works on: /tmp may be memory."""
    for directory in candidates:
        if directory is not None and directory.is_dir() and os.access(directory, os.W_OK):
            return directory
    return None


def _spooled(job: Job) -> Row:
    return Row(job.id, job.model, dict(job.input), job.where.file, job.where.row, dict(job.columns))


def _add_bad(loaded: Loaded, bad: BadRow) -> None:
    texts = tuple(str(problem) for problem in bad.problems)
    loaded.spool.add(
        Row(bad.id or "", "", {}, bad.where.file, bad.where.row, dict(bad.columns), texts)
    )
    loaded.problem_count += len(bad.problems)
    loaded.fatal = loaded.fatal or bad.fatal
    room = SHOWN_PROBLEMS - len(loaded.problems)
    loaded.problems.extend(bad.problems[:room])


def make_directory(path: Path) -> None:
    """Raises `LocalIOError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
