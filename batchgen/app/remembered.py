"""run.json: what shaped the jobs of a run directory, used again by every later command on it.

Without it, `status` after `run --model X` would not know the jobs that were run, and a `run`
without the flag would be another batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from batchgen.core.errors import ManifestError, Problem
from batchgen.manifest import Shape
from batchgen.results import replace_file

RUN_FILE = "run.json"

_FLAGS = {
    "model": "--model", "params": "--param", "columns": "--column", "format": "--format",
    "sheet": "--sheet", "select": "--select",
}  # fmt: skip


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file. Unknown keys are ignored, so that a later version may keep more."""

    model: str | None = None
    params: dict[str, str] = {}
    columns: dict[str, str] = {}
    format: str | None = None
    sheet: str | None = None
    select: str | None = None


def recall(run_dir: Path, given: Shape) -> tuple[Shape, list[str]]:
    """The shape with what is kept filled in, and a note for each flag that differs from it.

    Raises `ManifestError` where the file cannot be read: guessing would be another batch.
    """
    kept = _read(run_dir / RUN_FILE)
    notes, changes = [], {}
    for name, flag in _FLAGS.items():
        old, new = getattr(kept, name), getattr(given, name)
        if not new:
            changes[name] = old
        elif old and new != old:
            notes.append(f"{flag} is {_text(new)} now; the run directory began with {_text(old)}")
    return replace(given, **changes), notes


def remember(run_dir: Path, shape: Shape) -> None:
    """Keep it. Raises `LocalIOError`."""
    kept = _Kept(
        model=shape.model,
        params=dict(shape.params),
        columns=dict(shape.columns),
        format=shape.format,
        sheet=shape.sheet,
        select=shape.select,
    )
    if kept == _read(run_dir / RUN_FILE):
        return
    text = msgspec.json.format(msgspec.json.encode(kept), indent=1).decode() + "\n"
    replace_file(run_dir / RUN_FILE, lambda file: file.write(text))


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"cannot be read ({error}); mend it, or remove it and give its flags again"
        raise ManifestError([Problem(where=str(path), what=what)]) from None


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)
