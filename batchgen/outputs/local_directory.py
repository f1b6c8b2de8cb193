"""A directory of this machine as the destination of outputs."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.file_names import MAX_NAME_BYTES, MIN_STEM_BYTES, TAIL_BYTES
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import rename_if_absent, replacing, sync_directory, sync_file
from batchgen.system.run_directory import RunDirectory


@dataclass(slots=True, kw_only=True)
class LocalDirectory:
    """Files are received as `NAME.part` beside their final names, so that a rename is enough.

    Several run directories may have one output directory. So no final name is ever replaced, and a
    part in a directory that may be shared has the mark of its run directory in its name.
    """

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
        """Return `NAME.part`, or `NAME.MARK.part` in a directory that may be shared."""
        return self.path / f"{stem}{self._mark}.part"

    @property
    def _mark(self) -> str:
        run_dir, path = os.path.realpath(self.run_dir), os.path.realpath(self.path)
        if os.path.dirname(path) == run_dir:  # noqa: PTH120 - a text, as realpath gives it
            return ""
        place = os.path.relpath(run_dir, path).encode("utf-8", "surrogateescape")
        return "." + hashlib.blake2b(place, digest_size=4).hexdigest()

    def path_of(self, name: str) -> str:
        """Return the path relative to the run directory, with `/`."""
        return Path(os.path.relpath(self.path / name, self.run_dir)).as_posix()

    def owns(self, path: str) -> bool:
        """Return whether it is inside the output directory, or the run directory, links resolved.

        The run directory's own files are none of them.
        """
        if "://" in path or "\0" in path or Path(path).name in ("", ".."):
            return False
        run_dir, outputs = Path(os.path.realpath(self.run_dir)), Path(os.path.realpath(self.path))
        place = Path(os.path.realpath((self.run_dir / path).parent)) / Path(path).name
        if RunDirectory(run_dir).keeps(place):
            return False
        return any(place.is_relative_to(top) and place != top for top in (run_dir, outputs))

    def difference(self, file: OutputFile) -> str:
        """Compare size and digest; reads the file."""
        path = self.run_dir / file.path
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                return "not a file"
            size_bytes = found.st_size
            if size_bytes != file.bytes:
                return f"{size_bytes:,} bytes; the download had {file.bytes:,}"
            with path.open("rb") as content:
                same = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        except FileNotFoundError:
            return "missing"
        except ValueError:
            return "not a valid path"
        return "" if same else "its content is not what was downloaded (sha256)"

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:  # noqa: ARG002
        """Sync and rename, unless there is a file of that name, which may be this very one."""
        final = self.run_dir / file.path
        fd = os.open(part, os.O_RDONLY)
        try:
            sync_file(fd)
        finally:
            os.close(fd)
        if not rename_if_absent(part, final):
            if self.difference(file):
                return False
            part.unlink(missing_ok=True)
        reached(CrashPoint.FILE_RENAMED)
        sync_directory(final.parent)
        return True

    def put_text(self, path: str, content: bytes, *, replaces: bool) -> bool:
        """Write it under another name and rename."""
        final = self.run_dir / path
        if replaces:
            with replacing(final) as file:
                file.write(content)
            return True
        part = self.part_path(final.name, "")
        with replacing(part) as file:
            file.write(content)
        if rename_if_absent(part, final):
            return True
        part.unlink(missing_ok=True)
        return False

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the first bytes; None if there is no such file."""
        try:
            with (self.run_dir / path).open("rb") as file:
                return file.read(limit_bytes)
        except FileNotFoundError:
            return None
