"""A directory of this machine as the destination of outputs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.file_names import MAX_NAME_BYTES, MIN_STEM_BYTES, TAIL_BYTES
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import replacing, sync_directory, sync_file


@dataclass(slots=True, kw_only=True)
class LocalDirectory:
    """Files are received as `NAME.part` beside their final names, so that a rename is enough."""

    run_dir: Path
    """What the ledger's paths are relative to."""
    path: Path

    @property
    def max_name_bytes(self) -> int:
        """What the file system allows here for a name, and for a path as a whole."""
        try:
            longest = os.pathconf(self.path, "PC_NAME_MAX")
            room = os.pathconf(self.path, "PC_PATH_MAX") - len(os.fsencode(self.path.absolute()))
        except (OSError, ValueError):
            return MAX_NAME_BYTES
        return min(MAX_NAME_BYTES, longest, room - 2)

    def prepare(self) -> None:
        """Create it. Raise `LocalIOError`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error
        if self.max_name_bytes < MIN_STEM_BYTES + TAIL_BYTES:
            message = "no room is left for names; choose an output.dir with a shorter path"
            raise LocalIOError(f"{self.path}: {message}")

    def part_path(self, stem: str, digest: str) -> Path:  # noqa: ARG002 - the name is enough here
        """Return `NAME.part`."""
        return self.path / f"{stem}.part"

    def path_of(self, name: str) -> str:
        """Return the path relative to the run directory, with `/`."""
        return Path(os.path.relpath(self.path / name, self.run_dir)).as_posix()

    def difference(self, file: OutputFile) -> str:
        """Compare size and digest; reads the file."""
        path = self.run_dir / file.path
        try:
            size_bytes = path.stat().st_size
            if size_bytes != file.bytes:
                return f"{size_bytes:,} bytes; the download had {file.bytes:,}"
            with path.open("rb") as content:
                same = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        except FileNotFoundError:
            return "missing"
        return "" if same else "its content is not what was downloaded (sha256)"

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:  # noqa: ARG002
        """Sync and rename."""
        final = self.run_dir / file.path
        if final.exists():
            if self.difference(file):
                return False
            part.unlink(missing_ok=True)
            return True
        fd = os.open(part, os.O_RDONLY)
        try:
            sync_file(fd)
        finally:
            os.close(fd)
        part.replace(final)
        reached(CrashPoint.FILE_RENAMED)
        sync_directory(final.parent)
        return True

    def put_text(self, path: str, content: bytes) -> None:
        """Write it under another name and rename."""
        with replacing(self.run_dir / path) as file:
            file.write(content)

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the first bytes; None if there is no such file."""
        try:
            with (self.run_dir / path).open("rb") as file:
                return file.read(limit_bytes)
        except FileNotFoundError:
            return None
