"""Where a batch keeps everything: `--run-dir`, the manifest's `run_dir`, or `<stem>.run` beside it.

A `run_dir` with `{{ date }}` gives every night a directory of its own; the earlier ones of the same
pattern are found by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.core.errors import ManifestError, Problem, UsageError
from batchgen.core.schema import InvalidValue
from batchgen.manifest import ManifestSettings
from batchgen.manifest.templates import Template

SANDBOX_SUFFIX = ".sandbox"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_HERE = "\ue000"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedRunDirectories:
    """A run directory that has the date in its name."""

    before: str
    after: str
    sandbox: bool

    def on(self, date: str) -> Path:
        """The directory of one day, `2026-11-22`."""
        path = Path(f"{self.before}{date}{self.after}")
        return path.with_name(path.name + SANDBOX_SUFFIX) if self.sandbox else path

    def existing(self) -> list[tuple[str, Path]]:
        """Days that have a directory, oldest first."""
        suffix = SANDBOX_SUFFIX if self.sandbox else ""
        pattern = f"{escape(self.before)}*{escape(self.after)}{suffix}"
        found = []
        for path in Path().glob(pattern) if not Path(self.before).is_absolute() else _glob(pattern):
            date = str(path).removeprefix(self.before)[:10]
            if _DATE.fullmatch(date) and self.on(date) == path and path.is_dir():
                found.append((date, path))
        return sorted(found)


def _glob(pattern: str) -> list[Path]:
    path = Path(pattern)
    return list(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def plain_directory(target: BatchRef) -> Path:
    """The directory where no manifest says otherwise. Raises `UsageError` for stdin without one."""
    if target.run_dir is not None:
        directory = target.run_dir
    elif target.manifest == "-":
        raise UsageError("stdin has no place of its own; add --run-dir DIR")
    else:
        path = Path(target.manifest)
        directory = path.with_name(f"{path.stem}.run")
    return directory.with_name(directory.name + SANDBOX_SUFFIX) if target.sandbox else directory


def named_directory(target: BatchRef, head: ManifestSettings) -> DatedRunDirectories | Path:
    """The directory that this manifest names, if any. Raises `ManifestError`."""
    if target.run_dir is not None or head.run_dir is None:
        return plain_directory(target)
    try:
        text = Template(head.run_dir).render({"date": _HERE})
    except InvalidValue as error:
        raise ManifestError([Problem(where=head.where("run_dir"), what=str(error))]) from None
    base = Path(target.manifest).parent if target.manifest != "-" else Path()
    before, here, after = str(base / text).partition(_HERE)
    if not here:
        return _suffixed(Path(before), sandbox=target.sandbox)
    if _HERE in after:
        what = "names the date twice; once is enough"
        raise ManifestError([Problem(where=head.where("run_dir"), what=what)])
    return DatedRunDirectories(before=before, after=after, sandbox=target.sandbox)


def _suffixed(path: Path, *, sandbox: bool) -> Path:
    return path.with_name(path.name + SANDBOX_SUFFIX) if sandbox else path
