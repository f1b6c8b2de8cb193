"""run.json and jobs.jsonl: what shaped the jobs of a run directory, for every later command on it.

Without run.json, `status` after `run --model X` would not know the jobs that were run, and a `run`
without the flag would be another batch. jobs.jsonl lists the jobs with which a dated directory
began: rows that are added later belong to later directories.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import ManifestError, Problem, ShardConflict
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.core.plan import Policy
from batchgen.core.shards import Shard, parse_shard
from batchgen.core.units import is_text
from batchgen.manifest.row_options import RowOptions
from batchgen.manifest.select_expression import parse_selection
from batchgen.system.files import NOT_THERE, replace_file
from batchgen.system.run_directory import RunDirectory

_FLAGS = {
    "model": "--model", "params": "--param", "columns": "--column", "format": "--format",
    "encoding": "--encoding", "sheet": "--sheet", "header_row": "--header-row", "drop": "--drop",
    "include_hidden": "--include-hidden", "select": "--select", "assets": "--assets",
}  # fmt: skip


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger in which nothing was left to do, and by which policy.

    A ledger of another size was written to since, by a decision of the user or by another run, so
    nothing is known about it. Earlier versions stored only `true`, from what one run had selected:
    that says nothing either.
    """

    ledger_bytes: int
    reviews_bytes: int = -1
    policy: Policy


class _RunFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of run.json. Unknown keys are ignored, so that a later version may add some."""

    model: str | None = None
    params: dict[str, str] = {}
    columns: dict[str, str] = {}
    format: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    drop: tuple[str, ...] = ()
    include_hidden: bool = False
    select: str | None = None
    assets: str | None = None
    seed: int | None = None
    shard: str | None = None
    """As `2/3`."""
    manifest: str | None = None
    """Relative to the run directory; None for stdin, and for a name that is not UTF-8."""
    finished: Finished | None = None
    """Set when a run left nothing to do here."""


def recall(directory: RunDirectory, given: RowOptions) -> tuple[RowOptions, tuple[str, ...]]:
    """Return the options with those of earlier runs filled in, and a note for each that differs.

    Raises `ManifestError` if run.json cannot be read: without it this would be another batch.
    """
    stored = _read(directory)
    notes: list[str] = []
    changes: dict[str, Any] = {}
    if given.seed is None:
        changes["seed"] = stored.seed
    changes["shard"] = _shard(directory, stored, given.shard)
    for name, flag in _FLAGS.items():
        old, new = getattr(stored, name), getattr(given, name)
        if new is None or new in ({}, (), False):
            changes[name] = old
            if old and name == "select":
                kept = f"--select {old!r} of an earlier run still applies"
                notes.append(f"{kept}; to remove it: --select ''")
        elif old and new != old:
            notes.append(f"{flag} is {_text(new)} now; the run directory began with {_text(old)}")
    return replace(given, **changes), tuple(notes)


def _shard(directory: RunDirectory, stored: _RunFile, given: Shard | None) -> Shard | None:
    """Return the part that this directory is about, which never changes."""
    try:
        known = None if stored.shard is None else parse_shard(stored.shard)
    except ValueError as error:
        raise ManifestError([Problem(where=str(directory.run_file), what=str(error))]) from None
    if given not in (None, known) and directory.has_ledger:
        began = "without --shard" if known is None else f"with --shard {known}"
        raise ShardConflict(
            f"{directory}: began {began}, so it cannot be continued with --shard {given}; batchgen"
            " ledger merge makes one ledger of several, and --run-dir DIR begins another"
        )
    return given or known


def remember(directory: RunDirectory, manifest: str | None, options: RowOptions) -> None:
    """Store the options that shape the jobs, and the manifest (None: stdin).

    Raises `LocalIOError`.
    """
    stored = _RunFile(
        manifest=_relative(manifest, directory),
        model=options.model,
        params=dict(options.params),
        columns=dict(options.columns),
        format=options.format,
        encoding=options.encoding,
        sheet=options.sheet,
        header_row=options.header_row,
        drop=options.drop,
        include_hidden=options.include_hidden,
        assets=options.assets,
        seed=options.seed,
        shard=None if options.shard is None else str(options.shard),
        select=None if _asks_for_a_state(options.select) else options.select or None,
    )
    _write(directory, stored)


def inherit(directory: RunDirectory, others: Sequence[RunDirectory]) -> tuple[str, ...]:
    """Give a directory into which others were merged the options that shaped their jobs.

    Return a note for each that differ: the first directory counts. What a directory has of its own
    stays. Raises `LocalIOError`, and `ManifestError` if a run.json cannot be read.
    """
    stored = [_read(one) for one in others]
    own = _read(directory)
    chosen = own if own != _RunFile() else stored[0]
    manifest = next((place for one in others if (place := manifest_of(one)) is not None), None)
    if chosen is not own:
        relative = _relative(manifest, directory)
        chosen = msgspec.structs.replace(chosen, manifest=relative)
    _write(directory, msgspec.structs.replace(chosen, shard=None, finished=None))
    return tuple(
        f"{other}: began with {flag} {_text(theirs) or '(not given)'}; {directory} goes on with"
        f" {_text(ours) or '(not given)'}"
        for other, file in zip(others, stored, strict=True)
        for name, flag in _FLAGS.items()
        if (theirs := getattr(file, name) or "") != (ours := getattr(chosen, name) or "")
    )


def _relative(manifest: str | Path | None, directory: RunDirectory) -> str | None:
    path = None if manifest is None else os.path.relpath(manifest, directory.path)
    return path if path is not None and is_text(path) else None


def _asks_for_a_state(select: str | None) -> bool:
    """A selection by state applies to one run only: the states change with it."""
    return bool(select and parse_selection(select).state_conditions)


def manifest_of(directory: RunDirectory) -> Path | None:
    """Return the manifest that was run here last, if it still exists."""
    stored = _read(directory).manifest
    path = directory.path / stored if stored else None
    return path if path is not None and path.exists() else None


def mark_finished(directory: RunDirectory, policy: Policy) -> None:
    """Record that by this policy nothing is left to do here. Raises `LocalIOError`."""
    finished = Finished(
        ledger_bytes=_size_bytes(directory.ledger),
        reviews_bytes=_size_bytes(directory.reviews),
        policy=policy,
    )
    _write(directory, msgspec.structs.replace(_read(directory), finished=finished))


def is_finished(directory: RunDirectory, policy: Policy | None = None) -> bool:
    """Tell whether the work here is known to be finished, by this policy or any that downloads."""
    finished = _read(directory).finished
    if finished is None or finished.ledger_bytes != _size_bytes(directory.ledger):
        return False
    if finished.reviews_bytes != _size_bytes(directory.reviews):
        return False
    return finished.policy.download if policy is None else finished.policy == policy


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def remember_jobs(
    directory: RunDirectory, jobs: Iterable[str], *, replace_them: bool = False
) -> None:
    """Store the ids with which this directory begins, once. Raises `LocalIOError`."""
    if replace_them or not directory.jobs_file.exists():
        lines = (msgspec.json.encode(job).decode() + "\n" for job in jobs)
        replace_file(directory.jobs_file, lambda file: file.writelines(lines))


def first_jobs(directory: RunDirectory) -> Iterator[str]:
    """Yield the ids with which this directory began; none if they were not stored.

    Raises `LocalIOError`, and `ManifestError` for a line that is not an id.
    """
    with suppress(*NOT_THERE), directory.jobs_file.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                job = decode_json(line, type=str)
            except BadJSON as error:
                where = f"{directory.jobs_file}:{number}"
                raise ManifestError(
                    [Problem(where=where, what=f"is not an id ({error})")]
                ) from None
            yield job


def _write(directory: RunDirectory, stored: _RunFile) -> None:
    if stored == _read(directory):
        return
    text = msgspec.json.format(msgspec.json.encode(stored), indent=1).decode() + "\n"
    replace_file(directory.run_file, lambda file: file.write(text))


def _read(directory: RunDirectory) -> _RunFile:
    path = directory.run_file
    try:
        stored: _RunFile = decode_json(_without_old_mark(path.read_bytes()), type=_RunFile)
    except NOT_THERE:
        return _RunFile()
    except (OSError, BadJSON) as error:
        what = f"cannot be read ({error}); repair it, or remove it and give its flags again"
        raise ManifestError([Problem(where=str(path), what=what)]) from None
    return stored


def _without_old_mark(data: bytes) -> bytes:
    """Drop `"finished": true` of earlier versions."""
    stored = decode_json(data)
    if isinstance(stored, dict) and isinstance(stored.get("finished"), bool):
        del stored["finished"]
    return msgspec.json.encode(stored)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)
