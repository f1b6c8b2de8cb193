"""From bytes that have all come to a file under its final name. Blocking, on threads."""

from __future__ import annotations

from typing import BinaryIO, cast

from batchgen.core.events import OutputFile
from batchgen.outputs import file_type
from batchgen.outputs.destination import Destination
from batchgen.outputs.fetcher import DownloadPostponed, later
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.file_type import is_cut_short
from batchgen.outputs.part_file import PartFile, ResumeNote, ResumeNotes


class Publisher:
    """Checks, names and puts."""

    def __init__(self, keep: Destination, names: FileNameClaims, notes: ResumeNotes) -> None:
        self._keep, self._names, self._notes = keep, names, notes

    def finish(self, note: ResumeNote, part: PartFile, path: str | None) -> OutputFile:
        """Check a part that was received to its end, close it, put it under its name, or `path`.

        Raises `DownloadPostponed` if it is not what it should be; then nothing of it counts.
        """
        with part:
            part.cut()
            part.seek(0)
            start = part.read(file_type.SNIFF_BYTES)
            fault = _fault(part, start, note)
            if fault:
                part.begin_anew()
                part.cut()
                note.forget_bytes()
                raise DownloadPostponed(later(fault))
        note.total_bytes = part.size_bytes
        return self._put(note, part, file_type.extension(start, note.content_type), path)

    def _put(
        self, note: ResumeNote, part: PartFile, extension: str, path: str | None
    ) -> OutputFile:
        """Under its final name; where another file has that, under the next."""
        note.received_bytes, note.sha256 = part.size_bytes, part.sha256
        stem = note.stem
        while True:
            note.name = f"{stem}.{extension}"
            file = OutputFile(
                path=path or self._keep.path_of(note.name),
                bytes=part.size_bytes,
                sha256=note.sha256,
            )
            self._notes.write(note)  # first: after a kill it proves that the file is this one
            if self._keep.put(part.path, file, note.content_type):
                return file
            if path is not None:
                raise DownloadPostponed(later(f"another file lies at {path}", hopeless=True))
            stem = self._names.claim(stem)

    def describe(self, path: str, content: bytes, marker: bytes) -> None:
        """Put a small file beside that one, over an earlier one of its kind but over no other."""
        directory, _, name = path.rpartition("/")
        while True:
            beside = f"{directory}/{self._names.claim_beside(name)}.json"
            there = self._keep.read(beside, len(marker))
            if there is None or there == marker:
                self._keep.put_text(beside, content)
                return


def _fault(part: PartFile, start: bytes, note: ResumeNote) -> str:
    """Why what came is not the file; empty where it is."""
    if not start:
        return "the file is empty"
    if thing := file_type.impostor(start, note.content_type, note.url):
        return f"{thing} came in place of the file"
    if is_cut_short(cast("BinaryIO", part), part.size_bytes):
        return f"the file has no end: {part.size_bytes:,} bytes, which the server calls all of it"
    return ""
