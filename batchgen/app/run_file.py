"""run.json: what shaped the jobs of a run directory, used again by every later command on it.

Without it, `status` after `run --model X` would not know the jobs that were run, and a `run`
without the flag would be another batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.manifest import RowOptions, parse_selection
from batchgen.system.files import replace_file

RUN_FILE = "run.json"
JOBS_FILE = "jobs.jsonl"

_FLAGS = {
    "model": "--model", "params": "--param", "columns": "--column", "format": "--format",
    "sheet": "--sheet", "select": "--select",
}  # fmt: skip


class _RunFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file. Unknown keys are ignored, so that a later version may keep more."""

    model: str | None = None
    params: dict[str, str] = {}
    columns: dict[str, str] = {}
    format: str | None = None
    sheet: str | None = None
    select: str | None = None
    manifest: str | None = None
    """Relative to the run directory; None for stdin."""
    finished: bool = False
    """Whether the last run on this directory left nothing to do."""


def recall(run_dir: Path, given: RowOptions) -> tuple[RowOptions, list[str]]:
    """The shape with what is kept filled in, and a note for each flag that differs from it.

    Raises `ManifestError` where the file cannot be read: guessing would be another batch.
    """
    kept = _read(run_dir / RUN_FILE)
    notes, changes = [], {}
    for name, flag in _FLAGS.items():
        old, new = getattr(kept, name), getattr(given, name)
        if new is None or new == {}:
            changes[name] = old
            if old and name == "select":
                notes.append(
                    f"--select {old!r} still holds, as first given; --select '' means all rows"
                )
        elif old and new != old:
            notes.append(f"{flag} is {_text(new)} now; the run directory began with {_text(old)}")
    return replace(given, **changes), notes


def remember(run_dir: Path, shape: RowOptions, manifest: str) -> None:
    """Keep it, and where the manifest is. Raises `LocalIOError`."""
    kept = _RunFile(
        manifest=None if manifest == "-" else os.path.relpath(manifest, run_dir),
        model=shape.model,
        params=dict(shape.params),
        columns=dict(shape.columns),
        format=shape.format,
        sheet=shape.sheet,
        select=None if _asks_for_a_state(shape.select) else shape.select or None,
    )
    _write(run_dir, kept)


def _asks_for_a_state(select: str | None) -> bool:
    """Whether a selection is about what became of jobs: that is for one run, not for the batch."""
    return bool(select and parse_selection(select).state_conditions)


def manifest_of(run_dir: Path) -> Path | None:
    """The manifest that was run here last, if it is there."""
    kept = _read(run_dir / RUN_FILE).manifest
    path = run_dir / kept if kept else None
    return path if path is not None and path.exists() else None


def mark_finished(run_dir: Path) -> None:
    """Nothing is left to do here. Raises `LocalIOError`."""
    _write(run_dir, msgspec.structs.replace(_read(run_dir / RUN_FILE), finished=True))


def unfinished(run_dir: Path) -> bool:
    """Whether a night began here and did not come to its end."""
    return (run_dir / RUN_FILE).exists() and not _read(run_dir / RUN_FILE).finished


def remember_jobs(run_dir: Path, jobs: Iterable[str]) -> None:
    """Keep which jobs this directory is about: rows that are added later belong to later ones.

    Raises `LocalIOError`.
    """
    if not (run_dir / JOBS_FILE).exists():
        lines = (msgspec.json.encode(job).decode() + "\n" for job in jobs)
        replace_file(run_dir / JOBS_FILE, lambda file: file.writelines(lines))


def known_jobs(run_dir: Path) -> Iterator[str]:
    """The jobs that a directory is about; none where that was not kept."""
    with suppress(FileNotFoundError), (run_dir / JOBS_FILE).open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=str)


def _write(run_dir: Path, kept: _RunFile) -> None:
    if kept == _read(run_dir / RUN_FILE):
        return
    text = msgspec.json.format(msgspec.json.encode(kept), indent=1).decode() + "\n"
    replace_file(run_dir / RUN_FILE, lambda file: file.write(text))


def _read(path: Path) -> _RunFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_RunFile)
    except FileNotFoundError:
        return _RunFile()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"cannot be read ({error}); mend it, or remove it and give its flags again"
        raise ManifestError([Problem(where=str(path), what=what)]) from None


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)
