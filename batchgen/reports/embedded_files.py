"""Files inside of a page that is sent as one file: smaller pictures, and short clips."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.events import OutputFile
from batchgen.core.media_types import media_type
from batchgen.reports.thumbnails import thumbnail

LARGE_PX = 1_280
SMALL_PX = 480
MAX_LARGE = 120
"""If there are more files, pictures are small, so that the page can be sent by mail."""
MAX_CLIP_BYTES = 4 << 20
MAX_CLIPS_BYTES = 16 << 20
"""Clips beyond these are named only."""


@dataclass(slots=True, kw_only=True)
class EmbeddedFiles:
    """The files of one page, as `data:` addresses."""

    run_dir: Path
    files: int
    """The number of files of the page, which decides the size of pictures."""
    count: int = 0
    """The number of files that are in the page so far."""
    _clip_bytes: int = 0

    def address(self, file: OutputFile) -> str:
        """Return the file as an address; empty if it is only named."""
        address = "" if "://" in file.path else self._address(self.run_dir / file.path)
        self.count += bool(address)
        return address

    def _address(self, path: Path) -> str:
        kind = media_type(path.name)
        if kind is not None and not kind.startswith("image/"):
            return self._clip(path, kind)
        size_px = SMALL_PX if self.files > MAX_LARGE else LARGE_PX
        data = thumbnail(path, size_px, "WEBP")
        return "" if data is None else _address_of(data, "image/webp")

    def _clip(self, path: Path, kind: str) -> str:
        try:
            size_bytes = path.stat().st_size
            if size_bytes > min(MAX_CLIP_BYTES, MAX_CLIPS_BYTES - self._clip_bytes):
                return ""
            data = path.read_bytes()
        except OSError:
            return ""
        self._clip_bytes += len(data)
        return _address_of(data, kind)


def _address_of(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
