"""The files of several run directories in one, without another download and if possible no copy.

A file that is in a run directory gets the same path in the merged one, by a hard link, or a copy on
another file system; another name if that path is taken. A file elsewhere stays where it is.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.outputs.sidecar import MARKER
from batchgen.system.files import make_below, replacing
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True)
class LinkedFiles:
    """The files of a merged directory, and what each is called there."""

    target: RunDirectory
    linked: int = 0
    missing: int = 0
    """Files that are not in their own directory either."""
    _paths: dict[tuple[Path, str], str] = field(default_factory=dict)
    """Run directory and path there -> the path here, if that is another."""
    _taken: dict[str, OutputFile] = field(default_factory=dict)
    """Paths in folded case: no two files may differ by case alone."""
    _place: LocalDirectory = field(init=False)

    def __post_init__(self) -> None:
        self._place = LocalDirectory(run_dir=self.target.path, path=self.target.outputs)

    def path(self, source: RunDirectory, path: str) -> str:
        """Return what a file of another directory is called here."""
        return self._paths.get((source.path, path)) or self._moved(source, path)

    def link(self, source: RunDirectory, file: OutputFile) -> None:
        """Make a file of another directory a file of this one. Raises `LocalIOError`."""
        key = source.path, file.path
        if key in self._paths or not self._is_inside(source, file.path):
            return
        path = self._free_path(file)
        try:
            if not self._is_here(path, file):
                if not self._is_file(source.path / file.path):
                    self.missing += 1
                    return
                self._link(source.path / file.path, self.target.path / path)
                self._link_sidecar(source.path / file.path, self.target.path / path)
                self.linked += 1
        except OSError as error:
            place = error.filename or self.target.path / path
            raise LocalIOError(f"{place}: {error.strerror}; no ledger was written") from error
        self._taken[path.casefold()] = file
        if path != file.path:
            self._paths[key] = path

    def _free_path(self, file: OutputFile) -> str:
        """Return the first of `fox.png`, `fox~2.png` ... that is free here or is this very file."""
        stem, dot, ending = file.path.rpartition(".")
        if not dot or "/" in ending:
            stem, ending = file.path, ""
        number, path = 1, file.path
        while not self._may_have(path, file):
            number += 1
            path = f"{stem}~{number}{dot}{ending}"
        return path

    def _may_have(self, path: str, file: OutputFile) -> bool:
        if not self._place.owns(path):
            return False
        other = self._taken.get(path.casefold())
        if other is not None:
            return other.sha256 == file.sha256 and other.bytes == file.bytes
        return not os.path.lexists(self.target.path / path) or self._is_here(path, file)

    def _is_here(self, path: str, file: OutputFile) -> bool:
        return not self._place.difference(
            OutputFile(path=path, bytes=file.bytes, sha256=file.sha256)
        )

    def _is_inside(self, source: RunDirectory, path: str) -> bool:
        place = LocalDirectory(run_dir=source.path, path=source.outputs)
        return not Path(path).is_absolute() and place.owns(path)

    @staticmethod
    def _is_file(path: Path) -> bool:
        return path.is_file() and not path.is_symlink()

    def _link(self, old: Path, new: Path) -> None:
        make_below(new.parent, self.target.path)
        try:
            os.link(old, new, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without hard links
            with old.open("rb") as content, replacing(new) as copy:
                shutil.copyfileobj(content, copy)

    def _link_sidecar(self, old: Path, new: Path) -> None:
        old, new = Path(f"{old}.json"), Path(f"{new}.json")
        if self._is_file(old) and not os.path.lexists(new):
            with old.open("rb") as file:
                is_ours = file.read(len(MARKER)) == MARKER
            if is_ours:
                self._link(old, new)

    def _moved(self, source: RunDirectory, path: str) -> str:
        """Return a path that leads out of its run directory as one that leads there from here."""
        if "://" in path or Path(path).is_absolute() or self._is_inside(source, path):
            return path
        place = Path(os.path.realpath((source.path / path).parent)) / Path(path).name
        return Path(os.path.relpath(place, os.path.realpath(self.target.path))).as_posix()
