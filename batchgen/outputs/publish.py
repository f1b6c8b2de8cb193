"""From a received part to a file under its final name: checks, name, destination. Blocking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from msgspec.structs import replace

from batchgen.core.events import OutputFile
from batchgen.core.file_signatures import SNIFF_BYTES
from batchgen.outputs import file_type
from batchgen.outputs.answers import DownloadPostponed, save_later
from batchgen.outputs.completeness import is_cut_short
from batchgen.outputs.destination import Destination
from batchgen.outputs.part_file import PartFile, ResumeNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Checks parts, names them, and puts them to their destination."""

    destination: Destination
    claim: Callable[[str], str]
    """Gives the next free name if one is taken."""
    remember: Callable[[ResumeNote], None]
    """Takes the note of each step, before the step."""

    def publish(self, note: ResumeNote, part: PartFile, path: str | None) -> OutputFile:
        """Check a part that was received to its end, close it, put it under its name, or `path`.

        Raise `DownloadPostponed` if it is not the file; then nothing of it counts.
        """
        with part:
            part.cut()
            part.seek(0)
            start = part.read(SNIFF_BYTES)
            fault = _fault(part, start, note)
            if fault:
                part.begin_again()
                part.cut()
                raise DownloadPostponed(save_later(fault), note.without_bytes())
        note = replace(note.with_bytes_of(part), total_bytes=part.size_bytes)
        return self._put(note, part, file_type.extension(start, note.content_type), path)

    def _put(
        self, note: ResumeNote, part: PartFile, extension: str, path: str | None
    ) -> OutputFile:
        """Put the part under its final name; if another file has that, under the next one."""
        stem = note.stem
        while True:
            note = replace(note, name=f"{stem}.{extension}")
            file = OutputFile(
                path=path or self.destination.path_of(note.name),
                bytes=note.received_bytes,
                sha256=note.sha256,
            )
            self.remember(note)  # first: after a kill it proves that the file is this one
            if self.destination.put(part.path, file, note.content_type):
                return file
            if path is not None:
                message = f"there is another file at {path}"
                raise DownloadPostponed(save_later(message, hopeless=True))
            stem = self.claim(stem)


def _fault(part: PartFile, start: bytes, note: ResumeNote) -> str:
    """Return why what was received is not the file; empty if it is."""
    if not start:
        return "the file is empty"
    if thing := file_type.impostor(start, note.content_type, note.url):
        return f"the server sent {thing} instead of the file"
    if is_cut_short(cast("BinaryIO", part), part.size_bytes):
        return (
            f"the file is truncated: {part.size_bytes:,} bytes, although the server reported that "
            "as its full length"
        )
    return ""
